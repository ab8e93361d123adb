/** The first thing that the console says: what is worst now, or that all is well. The rest of the list unfolds. */
import { useState } from 'preact/hooks'
import { countOf } from '../../cli/quantity.ts'
import { html } from '../html.ts'
import type { TroubleFound } from '../problems.ts'
import { linkTo } from '../route.ts'
import { shown } from '../text.ts'
import type { Totals } from './totals.ts'

const SHOWN = 50

export function Headline({ troubles, totals }: { troubles: readonly TroubleFound[]; totals: Totals }) {
  const [isOpen, setOpen] = useState(false)
  const [worst, ...others] = troubles
  if (worst === undefined) {
    return html`<section class="headline good" aria-label="State of the mesh" aria-live="polite">
      <i class="mark" aria-hidden="true">✓</i>
      <div><h2>${totals.fetching > 0 ? 'All is well, and moving' : 'All clear'}</h2><p>${calm(totals)}</p></div>
    </section>`
  }
  return html`<section class="headline ${worst.severity}" aria-label="State of the mesh" aria-live="polite">
    <i class="mark" aria-hidden="true">!</i>
    <div>
      <h2><a href=${linkTo(worst.page, worst.name)}>${shown(worst.title)}</a></h2>
      <p>${shown(worst.detail)}</p>
      ${
        others.length > 0 &&
        html`<button type="button" class="link" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>
          ${isOpen ? 'Hide the rest' : `${others.length} more`}
        </button>`
      }
      ${
        isOpen &&
        html`<ul class="troubles">
          ${others.slice(0, SHOWN).map(
            (each) => html`<li key=${each.page + each.title} class=${each.severity}>
              <a href=${linkTo(each.page, each.name)}>${shown(each.title)}</a> <span>${shown(each.detail)}</span>
            </li>`,
          )}
          ${others.length > SHOWN && html`<li>and ${others.length - SHOWN} more</li>`}
        </ul>`
      }
    </div>
  </section>`
}

function calm({ trees, treesComplete, sites, sitesUp, fetching, treesEmpty }: Totals): string {
  const parts = [
    `${countOf(sitesUp, 'site')} of ${sites} up`,
    `${countOf(treesComplete, 'tree')} of ${trees - treesEmpty} complete everywhere`,
  ]
  if (fetching > 0) parts.push(`${countOf(fetching, 'copy', 'copies')} on the way`)
  return `${parts.join(', ')}.`
}
