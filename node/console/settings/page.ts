/** Links and limits: what is declared of the links, what this node measures beside it, and how it is set. */
import type { MeasuredPath, TopologyDocument } from '../../api/answers.ts'
import { formatBytes } from '../../cli/quantity.ts'
import { html } from '../html.ts'
import { session } from '../live.ts'
import type { PageProps } from '../page-props.ts'
import { Command } from '../parts/command.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { linkTo } from '../route.ts'
import { useValue } from '../state.ts'
import { atTime, shown } from '../text.ts'
import { deleteSession } from './sign-out.ts'

export function Settings({ status }: PageProps) {
  const { value, problem } = useDocument<TopologyDocument>('/api/v1/topology', 5000)
  const found = useValue(session)
  return html`
    <div class="page-head"><div><h1 tabindex="-1">Links and limits</h1>
      <p class="quiet">What admins declare of the links, and what ${shown(status.self.site)} measures beside it</p></div></div>
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    ${value !== undefined && html`<${Measured} paths=${value.measured} self=${status.self.site} /><${Declared} topology=${value} />`}
    <section class="card" aria-labelledby="limits-title">
      <header class="card-head"><h2 id="limits-title">Limits of ${shown(status.self.site)}</h2></header>
      <p class="quiet">Caps on what a site sends and fetches are settings of its own node; they count from its next start.</p>
      <${Command} text="mirrormesh config show" />
    </section>
    <section class="card" aria-labelledby="session-title">
      <header class="card-head"><h2 id="session-title">This session</h2>
        <button type="button" onClick=${deleteSession}>Sign out</button></header>
      <p class="quiet">${
        found === undefined
          ? ''
          : html`Signed in with ${found.token === null ? 'no token' : html`the token <b>${shown(found.token.name)}</b>`}, scope <b>${found.scope}</b>${found.expiresMs !== null && html`, until ${atTime(found.expiresMs)}`}. Scopes: read sees, operate steers within what is signed, admin does all else.`
      }</p>
    </section>`
}

function Measured({ paths, self }: { paths: readonly MeasuredPath[]; self: string }) {
  return html`<section class="card" aria-labelledby="measured-title">
    <header class="card-head"><h2 id="measured-title">Measured from ${shown(self)}</h2></header>
    ${
      paths.length === 0
        ? html`<p class="nothing">It is connected with nobody.</p>`
        : html`<div class="scroll-x" tabindex="0" role="region" aria-labelledby="measured-title"><table>
          <thead><tr><th>Site</th><th>Path</th><th class="number">Round trip</th><th class="number">Declared</th><th class="number">Sent now</th><th class="number">Received now</th><th class="number">Most sent</th><th class="number">Most received</th><th class="number">Declared rate</th></tr></thead>
          <tbody>${paths.map(
            (path) => html`<tr key=${path.peer}>
              <td><a href=${linkTo('sites', path.site)}>${shown(path.site)}</a></td>
              <td class="quiet">${path.pathClass === 'wan' ? 'another region' : path.pathClass}${path.isRelayed && ', relayed'}</td>
              <td class="number">${path.rttMs === null ? '-' : `${path.rttMs} ms`}</td>
              <td class="number quiet">${path.declaredRttMs === null ? '-' : `${path.declaredRttMs} ms`}</td>
              <td class="number">${formatBytes(path.sentBytesPerSecond)}/s</td>
              <td class="number">${formatBytes(path.receivedBytesPerSecond)}/s</td>
              <td class="number">${formatBytes(path.maxSentBytesPerSecond)}/s</td>
              <td class="number">${formatBytes(path.maxReceivedBytesPerSecond)}/s</td>
              <td class="number quiet">${rateText(path.declaredKbit)}</td>
            </tr>`,
          )}</tbody></table></div>`
    }
  </section>`
}

function Declared({ topology: { declared, timeMs } }: { topology: TopologyDocument }) {
  return html`<section class="card" aria-labelledby="declared-title">
    <header class="card-head"><h2 id="declared-title">Declared</h2>${timeMs !== null && html`<span class="quiet">since ${atTime(timeMs)}</span>`}</header>
    ${
      declared === null
        ? html`<p class="nothing">No admin has declared anything of the links: every site of a region counts as near, every other as far.</p>`
        : html`<div class="columns">
          <${Rates} title="Regions" rows=${declared.regions.map(({ region, upKbit, downKbit }) => ({ name: region, upKbit, downKbit }))} />
          <${Rates} title="Sites" rows=${declared.sites.map(({ site, upKbit, downKbit }) => ({ name: site, upKbit, downKbit }))} />
          <div><h3>Paths</h3><table><thead><tr><th>Between</th><th class="number">Round trip</th><th class="number">Rate</th></tr></thead>
            <tbody>${declared.paths.map(({ between, rttMs, kbit }) => html`<tr key=${between.join()}><td>${between.map((each) => shown(each.replace(/^region:/, ''))).join(' and ')}</td><td class="number">${rttMs === undefined ? '-' : `${rttMs} ms`}</td><td class="number">${rateText(kbit)}</td></tr>`)}</tbody></table></div>
        </div>`
    }
    <${Command} text="mirrormesh topology plan links.yaml" />
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

/** As links are sold. */
function rateText(kbit: number | null | undefined): string {
  if (kbit == null) return '-'
  return kbit >= 1e6
    ? `${(kbit / 1e6).toFixed(kbit % 1e6 === 0 ? 0 : 1)} Gbit/s`
    : kbit >= 1000
      ? `${Math.round(kbit / 1000)} Mbit/s`
      : `${kbit} kbit/s`
}
