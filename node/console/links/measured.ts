/** What this node measures to the members that it is connected to, beside what is declared of the paths. */
import type { MeasuredPath } from '../../api/answers.ts'
import { formatBytes } from '../../cli/quantity.ts'
import { html } from '../html.ts'
import { linkTo } from '../route.ts'
import { shown } from '../text.ts'
import { rateText } from './rate-text.ts'

export function Measured({ paths, self }: { paths: readonly MeasuredPath[]; self: string }) {
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
