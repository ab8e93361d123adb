/** One site: how it is, what it holds, whom it moves bytes with as this node sees it, and its place in service. */
import { useMemo } from 'preact/hooks'
import type { SiteStatus, StatusDocument } from '../../../src/replica/status/status.ts'
import type { MeasuredPath, TopologyDocument } from '../../api/answers.ts'
import { formatBytes } from '../../cli/quantity.ts'
import { Action } from '../actions/dialog.ts'
import { html } from '../html.ts'
import { now } from '../live.ts'
import { cellOf, lagText } from '../overview/cell.ts'
import type { PageProps } from '../page-props.ts'
import { Fact } from '../parts/fact.ts'
import { useDocument } from '../parts/load.ts'
import { TreeName } from '../parts/tree-name.ts'
import { findTroubles } from '../problems.ts'
import { linkTo } from '../route.ts'
import { useValue } from '../state.ts'
import { shown } from '../text.ts'
import { DrainDialog, LabelDialog } from './dialogs.ts'
import { SiteState } from './state.ts'

const SHOWN = 300

export function SitePage({ status, route }: PageProps) {
  const nowMs = useValue(now)
  const site = status.sites.find(({ site }) => site === route.name)
  const troubles = useMemo(
    () => findTroubles(status, nowMs).filter(({ page, name }) => page === 'sites' && name === route.name),
    [status, nowMs, route.name],
  )
  const { value: topology } = useDocument<TopologyDocument>('/api/v1/topology', 3000)
  if (site === undefined)
    return html`<h1 tabindex="-1">${shown(route.name)}</h1><p class="nothing">No member has this name. <a href=${linkTo('sites')}>All sites</a></p>`
  const path = topology?.measured.find(({ peer }) => peer === site.peer)
  const traffic = status.traffic.peers.find(({ peer }) => peer === site.peer)
  return html`
    <div class="page-head">
      <div>
        <p class="path"><a href=${linkTo('sites')}>Sites</a></p>
        <h1 tabindex="-1">${shown(site.site)}</h1>
        <p class="quiet">in ${shown(site.region)} <${SiteState} site=${site} nowMs=${nowMs} />
          ${site.labels.map((label) => html` <span key=${label} class="tag">${shown(label)}</span>`)}</p>
      </div>
      <div class="tools">
        <${Action} label="Labels" dialog=${(onClose: () => void) => html`<${LabelDialog} site=${site} onClose=${onClose} />`} />
        <${Action} label=${site.drained ? 'Back into service' : 'Drain'} tone=${site.drained ? '' : 'danger'}
          dialog=${(onClose: () => void) => html`<${DrainDialog} site=${site} onClose=${onClose} />`} />
      </div>
    </div>
    ${troubles.map(({ title, detail }) => html`<div key=${title} class="notice bad" role="status"><b>${shown(title)}.</b> ${shown(detail)}</div>`)}
    ${site.drained && html`<div class="notice warn" role="status"><b>Drained.</b> It keeps and serves what it has, and takes nothing new. ${shown(site.note)}</div>`}
    <dl class="facts">
      <${Fact} name="Free on its disk" value=${site.freeBytes == null ? '-' : formatBytes(site.freeBytes)} below="as it last said" />
      <${Fact} name="Sent" value=${site.traffic == null ? '-' : formatBytes(site.traffic.bytesSent)} below="since its program started" />
      <${Fact} name="Received" value=${site.traffic == null ? '-' : formatBytes(site.traffic.bytesReceived)} below="since its program started" />
      ${site.state !== 'self' && html`<${PathFacts} path=${path} self=${status.self.site} />`}
    </dl>
    <${Copies} status=${status} site=${site} nowMs=${nowMs} />
    <section class="card" aria-labelledby="about-title">
      <header class="card-head"><h2 id="about-title">Its node</h2></header>
      <dl class="pairs">
        <dt>Peer</dt><dd><code>${site.peer}</code></dd>
        <dt>Version</dt><dd>${site.version ?? 'not heard of'}</dd>
        <dt>Addresses</dt><dd>${site.addresses.length === 0 ? 'none are known' : site.addresses.map((each) => html`<div key=${each}><code>${shown(each)}</code></div>`)}</dd>
        ${traffic !== undefined && html`<dt>With ${shown(status.self.site)}</dt><dd>${formatBytes(traffic.bytesSent)} sent to it, ${formatBytes(traffic.bytesReceived)} received from it, as ${traffic.pathClass === 'wan' ? 'another region' : `the same ${traffic.pathClass}`}</dd>`}
      </dl>
    </section>`
}

function PathFacts({ path, self }: { path: MeasuredPath | undefined; self: string }) {
  if (path === undefined)
    return html`<${Fact} name=${`From ${self}`} value="-" below="not connected with this node" />`
  const { rttMs, isRelayed, sentBytesPerSecond, receivedBytesPerSecond, declaredKbit } = path
  return html`<${Fact} name=${`From ${self}`} value=${rttMs === null ? '-' : `${rttMs} ms`} below=${isRelayed ? 'through another member' : 'there and back'} />
    <${Fact} name="Now" value=${`${formatBytes(sentBytesPerSecond + receivedBytesPerSecond)}/s`}
      below=${declaredKbit === null ? `${formatBytes(sentBytesPerSecond)}/s to it` : `declared ${formatBytes((declaredKbit * 1000) / 8)}/s`} />`
}

function Copies({ status, site, nowMs }: { status: StatusDocument; site: SiteStatus; nowMs: number }) {
  const rows = useMemo(
    () =>
      status.trees
        .flatMap((tree) => {
          const replica = tree.sites.find((each) => each.site === site.site)
          return replica === undefined ? [] : [{ tree, replica, isOpen: replica.state !== 'complete' }]
        })
        .toSorted((a, b) => Number(b.isOpen) - Number(a.isOpen) || (a.tree.tree < b.tree.tree ? -1 : 1)),
    [status, site],
  )
  return html`<section class="card" aria-labelledby="copies-title">
    <header class="card-head"><h2 id="copies-title">What it keeps</h2></header>
    ${
      rows.length === 0
        ? html`<p class="nothing">No tree is pinned to this site.</p>`
        : html`<div class="scroll-x" tabindex="0" role="region" aria-labelledby="copies-title"><table>
          <thead><tr><th>Tree</th><th>State</th><th class="number">Has</th><th class="number">Head</th><th class="number">To come</th><th>Why</th></tr></thead>
          <tbody>${rows.slice(0, SHOWN).map(({ tree, replica }) => {
            const cell = cellOf(tree, site, replica, nowMs)
            return html`<tr key=${tree.tree}>
              <td><a href=${linkTo('trees', tree.tree)}><${TreeName} name=${tree.tree} /></a></td>
              <td class="nowrap"><i class="sign ${cell.kind}" aria-hidden="true">${cell.sign}</i> ${replica.state}</td>
              <td class="number">${replica.sequence === null ? '-' : `@${replica.sequence}`}</td>
              <td class="number">${tree.sequence === null ? '-' : `@${tree.sequence}`}</td>
              <td class="number">${replica.missingBytes === null || replica.missingBytes === 0 ? '-' : formatBytes(replica.missingBytes)}</td>
              <td class="quiet">${
                [lagText(replica, nowMs), replica.reason]
                  .filter((each) => each !== undefined)
                  .map(shown)
                  .join('; ') || '-'
              }</td>
            </tr>`
          })}</tbody></table></div>`
    }
    ${rows.length > SHOWN && html`<p class="nothing">and ${rows.length - SHOWN} more</p>`}
  </section>`
}
