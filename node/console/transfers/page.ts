/** Every fetch under way, and one of them in full: from whom, why, how fast, what limits it, when it will be done. */
import { useMemo } from 'preact/hooks'
import { pauseReason } from '../../../src/replica/fetch-pauses.ts'
import type { FetchDocument } from '../../api/answers.ts'
import { countOf, formatBytes, formatCount, formatSeconds } from '../../cli/quantity.ts'
import { html } from '../html.ts'
import { now } from '../live.ts'
import type { PageProps } from '../page-props.ts'
import { Fact } from '../parts/fact.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { TreeName } from '../parts/tree-name.ts'
import { linkTo } from '../route.ts'
import { useValue } from '../state.ts'
import { age, roughly, shown } from '../text.ts'
import { PauseButton } from './pause.ts'
import { fetchAddress, type Running, runningFetches } from './running.ts'

const SHOWN = 200
const SEGMENTS = 60

export function Transfers({ status, route }: PageProps) {
  const running = useMemo(() => runningFetches(status), [status])
  const [site, tree] = [route.query.get('site'), route.query.get('tree')]
  return html`
    <div class="page-head"><div>
      <h1 tabindex="-1">Transfers</h1>
      <p class="quiet">${summaryOf(running)}</p>
    </div></div>
    ${
      running.length > 0 &&
      html`<section class="card scroll-x" tabindex="0" aria-label="Fetches under way"><table>
        <thead><tr><th>Tree</th><th>At</th><th>Done</th><th class="number">To come</th><th></th></tr></thead>
        <tbody>${running.slice(0, SHOWN).map(
          (each) => html`<${Line} key=${`${each.replica.site} ${each.tree.tree}`} running=${each}
          isShown=${each.replica.site === site && each.tree.tree === tree} />`,
        )}</tbody>
      </table></section>`
    }
    ${site !== undefined && tree !== undefined && html`<${Detail} key=${`${site} ${tree}`} address=${fetchAddress(status, site, tree)} site=${site} tree=${tree} />`}
    <p class="quiet">Rates are capped by the <a href=${linkTo('settings')}>limits</a> of each site. A site that is drained fetches nothing.</p>`
}

function summaryOf(running: readonly Running[]): string {
  const paused = running.filter(({ replica }) => replica.pause !== undefined).length
  const going = running.length - paused
  const said =
    going === 0
      ? 'Nothing is being fetched anywhere'
      : `${countOf(going, 'fetch', 'fetches')} under way in the mesh`
  return paused === 0 ? said : `${said}, ${paused} paused`
}

function Line({
  running: { tree, replica, isHere, share },
  isShown,
}: {
  running: Running
  isShown: boolean
}) {
  const nowMs = useValue(now)
  return html`<tr aria-current=${isShown ? 'true' : undefined}>
    <td><a href=${linkTo('trees', tree.tree)}><${TreeName} name=${tree.tree} /></a></td>
    <td><a href=${linkTo('sites', replica.site)}>${shown(replica.site)}</a>${isHere && html` <span class="tag">this node</span>`}</td>
    <td>${replica.pause === undefined ? html`<${Progress} share=${share} />` : html`<span title=${pauseReason(replica.pause)}>paused by ${shown(replica.pause.by)}, ${age(replica.pause.sinceMs, nowMs)}</span>`}</td>
    <td class="number">${replica.missingBytes === null ? '?' : formatBytes(replica.missingBytes)}</td>
    <td class="buttons">${replica.pause === undefined && html`<a href=${linkTo('transfers', '', { site: replica.site, tree: tree.tree })}>Look closer</a>`}
      <${PauseButton} tree=${tree.tree} site=${replica.site} isHere=${isHere} isPaused=${replica.pause !== undefined} /></td>
  </tr>`
}

export function Progress({ share }: { share: number | undefined }) {
  if (share === undefined) return html`<span class="quiet">begins</span>`
  const percent = Math.floor(share * 100)
  return html`<span class="progress"><progress max="100" value=${percent} aria-label=${`${percent} percent`}></progress> ${percent} %</span>`
}

function Detail({ address, site, tree }: { address: string; site: string; tree: string }) {
  const { value, problem } = useDocument<FetchDocument>(address, 1500)
  if (problem !== undefined && problem.status !== 404) return html`<${Trouble} problem=${problem} />`
  if (problem !== undefined)
    return html`<div class="notice" role="status">${shown(tree)} is not being fetched at ${shown(site)}: it is done, or has not begun.</div>`
  if (value === undefined) return html`<p class="nothing" role="status">Asking ${shown(site)} …</p>`
  const { heldBytes, totalBytes, bytesPerSecond, fetchedBytes, seconds, phase } = value
  const rest = totalBytes === null ? undefined : Math.max(0, totalBytes - heldBytes)
  const share = totalBytes === null || totalBytes === 0 ? undefined : Math.min(1, heldBytes / totalBytes)
  const eta = rest === undefined || bytesPerSecond === 0 ? undefined : rest / bytesPerSecond
  return html`<section class="card" aria-labelledby="detail-title">
    <header class="card-head"><h2 id="detail-title">${shown(tree)} at ${shown(site)}</h2><${Progress} share=${share} /></header>
    <dl class="facts flat">
      <${Fact} name="Phase" value=${phase} below=${`for ${formatSeconds(seconds)}`} />
      <${Fact} name="Rate" value=${`${formatBytes(bytesPerSecond)}/s`} below=${`${formatBytes(fetchedBytes)} fetched`} />
      <${Fact} name="To come" value=${rest === undefined ? '?' : formatBytes(rest)} below=${totalBytes === null ? '' : `of ${formatBytes(totalBytes)}`} />
      <${Fact} name="Done in" value=${eta === undefined ? '?' : formatSeconds(roughly(eta))} below="at this rate" />
      ${value.deltas !== null && html`<${Fact} name="By deltas" value=${formatBytes(value.deltas.bytesMade)} below=${`of ${formatBytes(value.deltas.deltaBytesFetched)} fetched`} />`}
    </dl>
    <${Sources} fetch=${value} />
    <${Segments} fetch=${value} />
  </section>`
}

function Sources({ fetch: { peers, requestedBlocks } }: { fetch: FetchDocument }) {
  const reasons = Object.entries(requestedBlocks).filter(([, count]) => count > 0)
  return html`<h3>Sources</h3>
    ${reasons.length > 0 && html`<p class="quiet">Blocks asked for: ${reasons.map(([reason, count]) => `${formatCount(count)} ${REASONS[reason] ?? reason}`).join(', ')}.</p>`}
    <div class="scroll-x" tabindex="0" role="region" aria-label="Sources"><table>
      <thead><tr><th>Site</th><th>Path</th><th>Holds</th><th class="number">Rate</th><th class="number">In flight</th><th class="number">Pipeline</th><th>What limits it</th></tr></thead>
      <tbody>${peers.map(
        (peer) => html`<tr key=${peer.peer}>
          <td><a href=${linkTo('sites', peer.site)}>${shown(peer.site)}</a> <span class="quiet">${shown(peer.region)}</span></td>
          <td>${peer.path}, tier ${peer.tier}</td>
          <td>${peer.holds}</td>
          <td class="number">${formatBytes(peer.inFlightBytes > 0 ? peer.bytesPerSecond : 0)}/s</td>
          <td class="number">${formatBytes(peer.inFlightBytes)}</td>
          <td class="number">${formatBytes(peer.pipelineBytes)}</td>
          <td class="quiet">${shown(peer.state)}</td>
        </tr>`,
      )}</tbody></table></div>`
}

/** As docs/replication.md has them. */
const REASONS: Readonly<Record<string, string>> = {
  near: 'because a neighbour has them',
  owner: 'as its own share',
  steal: 'in place of a slow owner',
  'end-game': 'twice, at the end',
}

function Segments({ fetch: { segments, moreSegments } }: { fetch: FetchDocument }) {
  const more = Math.max(0, segments.length - SEGMENTS) + moreSegments
  if (segments.length === 0) return html`<p class="quiet">No segment is open.</p>`
  return html`<h3>Segments</h3>
    <div class="scroll-x" tabindex="0" role="region" aria-label="Segments"><table>
      <thead><tr><th>Page</th><th>Blocks</th><th class="number">Missing</th><th>Owner</th><th>Asked of</th><th>State</th></tr></thead>
      <tbody>${segments.slice(0, SEGMENTS).map(
        (each) => html`<tr key=${`${each.page} ${each.firstBlock}`}>
          <td>${each.page}</td>
          <td>${each.firstBlock} to ${each.endBlock - 1}</td>
          <td class="number">${formatCount(each.missingBlocks)}</td>
          <td>${shown(each.owner)}${each.entry !== undefined && html` <span class="quiet">enters by ${shown(each.entry)}</span>`}</td>
          <td>${each.askedOf.map(({ site, reason }) => html`<span key=${site + reason} class="tag">${shown(site)}: ${reason}</span> `)}</td>
          <td class="quiet">${shown(each.state)}</td>
        </tr>`,
      )}</tbody></table></div>
    ${more > 0 && html`<p class="nothing">and ${formatCount(more)} more</p>`}`
}
