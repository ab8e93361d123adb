/** What admins have had taken off every site: why, and who has done so; and the ways to take down more, and to lift it. */
import type { StatusDocument, TakedownStatus } from '../../../src/replica/status/status.ts'
import type { TreeDocument } from '../../api/answers.ts'
import { countOf } from '../../cli/quantity.ts'
import { Action } from '../actions/dialog.ts'
import { html } from '../html.ts'
import { now } from '../live.ts'
import { useDocument } from '../parts/load.ts'
import { useRecords } from '../parts/use-records.ts'
import { useValue } from '../state.ts'
import { age, atTime, shown } from '../text.ts'
import { TakedownDialog } from './takedown-dialog.ts'

export function Takedowns({ tree, status }: { tree: TreeDocument; status: StatusDocument }) {
  const nowMs = useValue(now)
  // The stream tells of what sites have done, and not of takedowns: the document is asked for anew when that changes.
  const done = status.sites.flatMap(({ takedownsDone }) => takedownsDone ?? []).length
  const { value, reload } = useDocument<StatusDocument>('/api/v1/status', 0, `${tree.head?.sequence} ${done}`)
  useRecords(['takedown'], reload)
  const takedowns = value?.takedowns?.filter((each) => each.tree === tree.tree) ?? []
  const close = (onClose: () => void) => (): void => {
    onClose()
    reload()
  }
  return html`<section class="card" aria-labelledby="takedowns-title">
    <header class="card-head"><h2 id="takedowns-title">Taken down</h2>
      ${tree.head !== null && html`<${Action} label="Take something down" tone="danger" dialog=${(onClose: () => void) => html`<${TakedownDialog} tree=${tree.tree} path="" onClose=${close(onClose)} />`} />`}</header>
    ${
      takedowns.length === 0
        ? html`<p class="quiet">Nothing is. A snapshot with a leaked file, or all that have a path, can be taken off every site.</p>`
        : html`<div class="scroll-x" tabindex="0" role="region" aria-labelledby="takedowns-title"><table>
          <thead><tr><th>What</th><th>Why</th><th>Since</th><th>Sites</th><th></th></tr></thead>
          <tbody>${takedowns.map(
            (each) => html`<tr key=${each.name}>
              <td class="entry"><code>${shown(each.name)}</code></td>
              <td>${shown(each.reason)}</td>
              <td class="nowrap quiet" title=${atTime(each.timeMs)}>${age(each.timeMs, nowMs)} ago</td>
              <td><${Done} sites=${each.sites} /></td>
              <td class="buttons"><${Action} label="Lift" tone="quiet" dialog=${(onClose: () => void) => html`<${TakedownDialog} tree=${tree.tree} lifts=${each} onClose=${close(onClose)} />`} /></td>
            </tr>`,
          )}</tbody></table></div>`
    }
  </section>`
}

function Done({ sites }: { sites: TakedownStatus['sites'] }) {
  const at = (state: string): string[] => sites.filter((each) => each.state === state).map(({ site }) => site)
  const [done, pending, unknown] = [at('done'), at('pending'), at('unknown')]
  return html`<span class="tag ${done.length === sites.length ? 'good' : ''}">done at ${countOf(done.length, 'site')}</span>${
    pending.length > 0 &&
    html` <span class="tag warn" title=${pending.join(', ')}>not yet at ${pending.slice(0, 3).map(shown).join(', ')}${pending.length > 3 && ` and ${pending.length - 3} more`}</span>`
  }${unknown.length > 0 && html` <span class="tag" title=${unknown.join(', ')}>unknown at ${unknown.length}</span>`}`
}
