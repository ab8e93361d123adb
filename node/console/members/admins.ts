/** The keys that speak for the mesh: who they are, how many must agree, and the way to others. */
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { AdminsDocument } from '../../api/schema/member-answers.ts'
import { Action } from '../actions/dialog.ts'
import { signer } from '../actions/keys.ts'
import { html } from '../html.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { useRecords } from '../parts/use-records.ts'
import { useValue } from '../state.ts'
import { atTime, shown } from '../text.ts'
import { ProposeDialog } from './propose-dialog.ts'
import { SignProposalDialog } from './sign-proposal-dialog.ts'

export function Admins({ status }: { status: StatusDocument }) {
  const { value, problem, reload } = useDocument<AdminsDocument>('/api/v1/admins')
  const found = useValue(signer)
  useRecords(['admin-set'], reload)
  const own = found?.by === 'file' ? found.key.peer : undefined
  const done = (onClose: () => void) => (): void => {
    onClose()
    reload()
  }
  return html`<section class="card" aria-labelledby="admins-title">
    <header class="card-head"><h2 id="admins-title">Admins</h2><div class="tools">
      <${Action} label="Sign a proposal" dialog=${(onClose: () => void) => html`<${SignProposalDialog} mesh=${status.mesh.id} onClose=${done(onClose)} />`} />
      ${value !== undefined && html`<${Action} label="Propose a change" tone="primary" dialog=${(onClose: () => void) => html`<${ProposeDialog} before=${value} onClose=${done(onClose)} />`} />`}</div></header>
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    ${
      value !== undefined &&
      html`<p><b>${value.threshold} of ${value.keys.length}</b> must sign a change of who they are; all else takes one of them. <span class="quiet">Since ${atTime(value.timeMs)}.</span></p>
      <div class="scroll-x" tabindex="0" role="region" aria-labelledby="admins-title"><table>
        <thead><tr><th>Key</th><th>May</th></tr></thead>
        <tbody>
          ${value.keys.map(
            (key) =>
              html`<tr key=${key}><td><code>${shown(key)}</code>${key === own && html` <span class="tag info">the key in this page</span>`}</td><td>all that admins may</td></tr>`,
          )}
          <tr><td><code>${shown(value.recovery)}</code>${value.recovery === own && html` <span class="tag info">the key in this page</span>`}</td><td class="quiet roomy">recovery: names other admins alone, when too few are left to agree</td></tr>
        </tbody></table></div>
      <p class="quiet">A change that several must sign goes from one to the next as a file. The console and <code>mirrormesh admin sign</code> read the same.</p>`
    }
  </section>`
}
