/** All sites, as a table: how they are, what they hold, what they have moved. */
import { useMemo, useState } from 'preact/hooks'
import type { SiteStatus, StatusDocument } from '../../../src/replica/status/status.ts'
import { countOf, formatBytes } from '../../cli/quantity.ts'
import { html } from '../html.ts'
import { now } from '../live.ts'
import { columnsOf } from '../overview/rows.ts'
import type { PageProps } from '../page-props.ts'
import { linkTo } from '../route.ts'
import { useValue } from '../state.ts'
import { shown } from '../text.ts'
import { SiteState } from './state.ts'

export function SiteList({ status }: PageProps) {
  const nowMs = useValue(now)
  const [text, setText] = useState('')
  const copies = useMemo(() => countCopies(status), [status])
  const wanted = text.trim().toLowerCase()
  const sites = columnsOf(status).filter(
    ({ site, region, labels }) =>
      site.includes(wanted) || region.includes(wanted) || labels.some((each) => each.includes(wanted)),
  )
  return html`<div class="page-head">
      <div><h1 tabindex="-1">Sites</h1><p class="quiet">${countOf(status.sites.length, 'site')} in ${countOf(new Set(status.sites.map(({ region }) => region)).size, 'region')}</p></div>
      <label class="search"><span class="unseen">Sites whose name, region or label holds</span>
        <input type="search" placeholder="Name, region or label" value=${text}
          onInput=${(event: InputEvent) => setText((event.target as HTMLInputElement).value)} /></label>
    </div>
    <section class="card scroll-x" tabindex="0" aria-label="Sites">
      ${
        sites.length === 0
          ? html`<p class="nothing">No site is like that.</p>`
          : html`<table>
            <thead><tr><th>Site</th><th>Region</th><th>State</th><th class="number">Complete</th><th class="number">Free</th>
              <th class="number">Sent</th><th class="number">Received</th><th>Labels</th><th>Version</th></tr></thead>
            <tbody>${sites.map((site) => html`<${Line} key=${site.peer} site=${site} copies=${copies.get(site.site)} nowMs=${nowMs} />`)}</tbody>
          </table>`
      }
    </section>`
}

interface Copies {
  readonly all: number
  readonly complete: number
}

function Line({ site, copies, nowMs }: { site: SiteStatus; copies: Copies | undefined; nowMs: number }) {
  const { traffic, freeBytes } = site
  return html`<tr>
    <td><a href=${linkTo('sites', site.site)}><b>${shown(site.site)}</b></a></td>
    <td>${shown(site.region)}</td>
    <td class="nowrap"><${SiteState} site=${site} nowMs=${nowMs} /></td>
    <td class="number">${copies === undefined ? '-' : `${copies.complete} of ${copies.all}`}</td>
    <td class="number">${freeBytes == null ? '-' : formatBytes(freeBytes)}</td>
    <td class="number">${traffic == null ? '-' : formatBytes(traffic.bytesSent)}</td>
    <td class="number">${traffic == null ? '-' : formatBytes(traffic.bytesReceived)}</td>
    <td>${site.labels.map((label) => html`<span key=${label} class="tag">${shown(label)}</span> `)}</td>
    <td class="quiet">${site.version ?? '-'}</td>
  </tr>`
}

function countCopies({ trees }: StatusDocument): ReadonlyMap<string, Copies> {
  const found = new Map<string, { all: number; complete: number }>()
  for (const { sites } of trees) {
    for (const { site, state } of sites) {
      const those = found.get(site) ?? { all: 0, complete: 0 }
      those.all++
      if (state === 'complete') those.complete++
      found.set(site, those)
    }
  }
  return found
}
