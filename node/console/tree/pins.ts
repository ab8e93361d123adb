/** The pins that cover a tree, and the way to a new one. */

import { matchesTree } from '../../../src/base/names.ts'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { PinDocument } from '../../api/answers.ts'
import { Action } from '../actions/dialog.ts'
import { html } from '../html.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { shown } from '../text.ts'
import { PinEditor } from './pin-editor.ts'
import { copiesText, keepText, partText, whereText } from './pin-text.ts'

export function Pins({ tree, status }: { tree: string; status: StatusDocument }) {
  const { value, problem, reload } = useDocument<{ pins: PinDocument[] }>('/api/v1/pins')
  const pins = value?.pins.filter((pin) => matchesTree(pin.tree, tree)) ?? []
  return html`<section class="card" aria-labelledby="pins-title">
    <header class="card-head">
      <h2 id="pins-title">Pins</h2>
      <${Action} label="Add a pin" dialog=${(
        onClose: () => void,
      ) => html`<${PinEditor} tree=${tree} status=${status} pins=${value?.pins ?? []}
        onClose=${() => {
          onClose()
          reload()
        }} />`} />
    </header>
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    ${
      value !== undefined &&
      (pins.length === 0
        ? html`<p class="nothing">No pin covers this tree.</p>`
        : html`<div class="scroll-x" tabindex="0" role="region" aria-labelledby="pins-title"><table>
          <thead><tr><th>Where</th><th>By</th><th>Check-out</th><th>Part</th><th>Keeps</th><th>Copies</th><th>Class</th><th></th></tr></thead>
          <tbody>${pins.map(
            (pin) => html`<tr key=${pin.name}>
              <td><b>${whereText(pin.sites)}</b></td>
              <td class="quiet">${pin.tree === tree ? 'this tree' : html`<code>${shown(pin.tree)}</code>`}</td>
              <td>${pin.checkout === null ? '-' : html`<code>${shown(pin.checkout)}</code>${pin.versions !== undefined && html` <span class="quiet">${pin.versions} versions</span>`}`}</td>
              <td class="quiet">${partText(pin)}</td>
              <td class="quiet">${keepText(pin.keep)}</td>
              <td class=${(pin.fewest?.verified ?? 0) < (pin.copies ?? 0) ? 'bad' : 'quiet'}>${copiesText(pin)}</td>
              <td class="quiet">${pin.class ?? `priority ${pin.priority ?? 5}`}</td>
              <td class="number"><${Action} label="Remove" tone="quiet" dialog=${(
                onClose: () => void,
              ) => html`<${PinEditor}
                tree=${pin.tree} status=${status} removes=${pin} onClose=${() => {
                  onClose()
                  reload()
                }} />`} /></td>
            </tr>`,
          )}</tbody></table></div>`)
    }
  </section>`
}
