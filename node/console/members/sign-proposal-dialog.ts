/** A proposal of another admin: what it says, decoded from what is signed; signed with one's own key, and sent when it was the last. */
import { useEffect, useState } from 'preact/hooks'
import type { AdminsDocument } from '../../api/schema/member-answers.ts'
import { Dialog } from '../actions/dialog.ts'
import { signer } from '../actions/keys.ts'
import { html } from '../html.ts'
import { useDocument } from '../parts/load.ts'
import {
  MAX_PROPOSAL_BYTES,
  missingSigners,
  type Proposal,
  readProposal,
  signProposal,
} from '../signing/proposal.ts'
import { atTime, shown } from '../text.ts'
import { goOn } from './hand-on.ts'

export function SignProposalDialog({ mesh, onClose }: { mesh: string; onClose: () => void }) {
  const [text, setText] = useState('')
  const { proposal, trouble } = useProposal(text)
  const { value: admins } = useDocument<AdminsDocument>('/api/v1/admins')
  const missing = proposal === undefined ? [] : missingSigners(proposal)
  const isWhole = proposal !== undefined && missing.length === 0
  const fault =
    proposal === undefined || admins === undefined
      ? undefined
      : proposal.mesh !== mesh
        ? 'It is a proposal for another mesh.'
        : proposal.previous !== admins.record
          ? 'It was made for other admins than there are now: it would count for nobody.'
          : undefined
  const run = async () => {
    if (isWhole) return goOn(proposal)
    const found = signer.get()
    if (found?.by !== 'file') throw new Error('choose the file of your key')
    return goOn(await signProposal(proposal!, found.key))
  }
  const choose = async (event: Event): Promise<void> => {
    const file = (event.target as HTMLInputElement).files?.[0]
    if (file !== undefined && file.size <= MAX_PROPOSAL_BYTES) setText(await file.text())
  }
  return html`<${Dialog} title="Sign a proposal" confirm=${isWhole ? 'Bring it into the mesh' : 'Sign it'} isHarmful=${admins?.keys.some((peer) => proposal?.keys.includes(peer) === false) === true}
    ...${isWhole ? {} : { signs: {} }} run=${run} onClose=${onClose} isReady=${proposal !== undefined && admins !== undefined && fault === undefined}
    command=${isWhole ? 'mirrormesh admin submit admin-set.proposal' : 'mirrormesh admin sign admin-set.proposal'}>
    <div class="fields">
      <label>The proposal <input type="file" onChange=${choose} /></label>
      <label class="wide">Or its text <textarea rows="4" spellcheck=${false} value=${text} maxlength=${MAX_PROPOSAL_BYTES} onInput=${(event: InputEvent) => setText((event.target as HTMLTextAreaElement).value)} placeholder="{ &quot;mirrormeshProposal&quot;: 1, …"></textarea></label>
    </div>
    ${trouble !== undefined && html`<p class="notice bad" role="alert">${shown(trouble)}</p>`}
    ${fault !== undefined && html`<p class="notice bad" role="alert">${fault}</p>`}
    ${proposal !== undefined && admins !== undefined && html`<${What} proposal=${proposal} admins=${admins} missing=${missing} />`}
  </${Dialog}>`
}

function What({
  proposal,
  admins,
  missing,
}: {
  proposal: Proposal
  admins: AdminsDocument
  missing: readonly string[]
}) {
  const { keys, threshold, recovery, signers, issuer, timeMs } = proposal
  const line = (mark: string, tone: string, peer: string, says = '') =>
    html`<li key=${peer}><span class="mark-${tone}">${mark}</span> <code>${peer}</code> <span class="quiet">${says}</span></li>`
  return html`<div class="plan" role="status">
    <p>Made on ${atTime(timeMs)} by <code>${issuer}</code>. <b>${threshold} of ${keys.length}</b> must agree to the next change.</p>
    <ul class="keys">
      ${keys.map((peer) => (admins.keys.includes(peer) ? line('stays', 'same', peer) : line('comes', 'added', peer)))}
      ${admins.keys.filter((peer) => !keys.includes(peer)).map((peer) => line('leaves', 'removed', peer, 'for good'))}
      ${recovery !== admins.recovery && line('recovery', 'changed', recovery, 'instead of the one before')}
    </ul>
    <p class="quiet">Signed by ${signers.length - missing.length} of ${signers.length}${missing.length > 0 && html`; still to sign: ${missing.map((peer, i) => html`${i > 0 && ', '}<code>${peer}</code>`)}`}.</p>
  </div>`
}

function useProposal(text: string): { proposal?: Proposal; trouble?: string } {
  const [state, setState] = useState<{ of?: string; proposal?: Proposal; trouble?: string }>({})
  useEffect(() => {
    if (text.trim() === '') return
    let isGone = false
    readProposal(text).then(
      (proposal) => {
        if (!isGone) setState({ of: text, proposal })
      },
      (error: Error) => {
        if (!isGone) setState({ of: text, trouble: error.message })
      },
    )
    return () => {
      isGone = true
    }
  }, [text])
  return state.of === text ? state : {}
}
