/** Where a tree lies: each site that keeps it, how far it is, its check-outs, and why it is not further. */
import type { SiteStatus, TreeStatus } from '../../../src/replica/status/status.ts'
import { formatBytes, formatSeconds } from '../../cli/quantity.ts'
import { html } from '../html.ts'
import { cellOf, lagText } from '../overview/cell.ts'
import { linkTo } from '../route.ts'
import { roughly, shown, silentSeconds } from '../text.ts'

export function Places({
  tree,
  sites,
  nowMs,
}: {
  tree: TreeStatus
  sites: readonly SiteStatus[]
  nowMs: number
}) {
  const bySite = new Map(sites.map((site) => [site.site, site]))
  return html`<section class="card" aria-labelledby="places-title">
    <header class="card-head"><h2 id="places-title">Sites that keep it</h2></header>
    ${
      tree.sites.length === 0
        ? html`<p class="nothing">It is pinned nowhere: no site keeps it. Add a pin below.</p>`
        : html`<div class="scroll-x" tabindex="0" role="region" aria-labelledby="places-title"><table>
          <thead><tr><th>Site</th><th>State</th><th class="number">Has</th><th class="number">To come</th><th>Check-outs</th><th>Why</th></tr></thead>
          <tbody>${tree.sites.map((replica) => {
            const site = bySite.get(replica.site)
            const cell = site === undefined ? undefined : cellOf(tree, site, replica, nowMs)
            return html`<tr key=${replica.site}>
              <td><a href=${linkTo('sites', replica.site)}>${shown(replica.site)}</a>${
                site?.state === 'silent' &&
                html` <span class="tag bad">silent ${formatSeconds(roughly(silentSeconds(site, nowMs)))}</span>`
              }${site?.drained === true && html` <span class="tag warn">drained</span>`}</td>
              <td class="nowrap"><i class="sign ${cell?.kind ?? 'unknown'}" aria-hidden="true">${cell?.sign ?? '?'}</i> ${replica.state}</td>
              <td class="number">${replica.sequence === null ? '-' : `@${replica.sequence}`}</td>
              <td class="number">${replica.missingBytes === null || replica.missingBytes === 0 ? '-' : formatBytes(replica.missingBytes)}</td>
              <td>${replica.checkouts.map(
                ({ path, sequence, versions }) =>
                  html`<div key=${path}><code>${shown(path)}</code> <span class="quiet">${sequence === null ? 'not yet' : `@${sequence}`}${versions === undefined ? '' : `, ${versions} versions`}</span></div>`,
              )}</td>
              <td class="quiet">${
                [lagText(replica, nowMs), replica.reason]
                  .filter((each) => each !== undefined)
                  .map(shown)
                  .join('; ') || '-'
              }</td>
            </tr>`
          })}</tbody></table></div>`
    }
  </section>`
}
