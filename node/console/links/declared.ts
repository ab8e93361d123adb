/** What admins declare of regions, sites and the paths between them. */

import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { TopologyDocument } from '../../api/answers.ts'
import { Action } from '../actions/dialog.ts'
import { html } from '../html.ts'
import { atTime, shown } from '../text.ts'
import { EditDialog } from './edit-dialog.ts'
import { rateText } from './rate-text.ts'

export function Declared({
  topology: { declared, timeMs },
  status,
  onChange,
}: {
  topology: TopologyDocument
  status: StatusDocument
  onChange: () => void
}) {
  const regions = new Set(status.sites.map(({ region }) => region))
  return html`<section class="card" aria-labelledby="declared-title">
    <header class="card-head"><h2 id="declared-title">Declared</h2><div class="tools">
      ${declared !== null && timeMs !== null && html`<span class="quiet">version ${declared.version}, since ${atTime(timeMs)}</span>`}
      <${Action} label=${declared === null ? 'Declare the links' : 'Edit'} dialog=${(onClose: () => void) =>
        html`<${EditDialog} declared=${declared} regions=${regions} onClose=${() => {
          onClose()
          onChange()
        }} />`} /></div></header>
    ${
      declared === null
        ? html`<p class="nothing">No admin has declared anything of the links: every site of a region counts as near, every other as far.</p>`
        : html`<div class="columns">
          <${Rates} title="Regions" rows=${declared.regions.map(({ region, upKbit, downKbit }) => ({ name: region, upKbit, downKbit }))} />
          <${Rates} title="Sites" rows=${declared.sites.map(({ site, upKbit, downKbit }) => ({ name: site, upKbit, downKbit }))} />
          <div><h3>Paths</h3><table><thead><tr><th>Between</th><th class="number">Round trip</th><th class="number">Rate</th><th class="number">Cost</th></tr></thead>
            <tbody>${declared.paths.map(({ between, rttMs, kbit, cost }) => html`<tr key=${between.join()}><td>${between.map((each) => shown(each.replace(/^region:/, ''))).join(' and ')}</td><td class="number">${rttMs === undefined ? '-' : `${rttMs} ms`}</td><td class="number">${rateText(kbit)}</td><td class="number">${cost ?? '-'}</td></tr>`)}</tbody></table></div>
        </div>`
    }
  </section>`
}

interface RateRow {
  readonly name: string
  readonly upKbit?: number | undefined
  readonly downKbit?: number | undefined
}

function Rates({ title, rows }: { title: string; rows: readonly RateRow[] }) {
  return html`<div><h3>${title}</h3><table><thead><tr><th>Name</th><th class="number">Out</th><th class="number">In</th></tr></thead>
    <tbody>${rows.slice(0, 200).map(({ name, upKbit, downKbit }) => html`<tr key=${name}><td>${shown(name)}</td><td class="number">${rateText(upKbit)}</td><td class="number">${rateText(downKbit)}</td></tr>`)}</tbody></table></div>`
}
