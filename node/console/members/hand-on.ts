/** A proposal with one more signature: brought into the mesh when all have signed, else a file for the next. */
import { useEffect, useState } from 'preact/hooks'
import { postJson } from '../api.ts'
import { type Children, html } from '../html.ts'
import { toBase64 } from '../signing/encode.ts'
import { finishProposal, missingSigners, type Proposal, proposalText } from '../signing/proposal.ts'

const FILE = 'admin-set.proposal'

/** Resolves to what is told of it. */
export async function goOn(proposal: Proposal): Promise<Children> {
  if (missingSigners(proposal).length > 0) return html`<${HandOn} proposal=${proposal} />`
  await postJson('/api/v1/records', { record: toBase64(finishProposal(proposal)) })
  return html`<p><b>The mesh has new admins.</b> ${proposal.threshold} of ${proposal.keys.length} must agree to the next change.</p>`
}

function HandOn({ proposal }: { proposal: Proposal }) {
  const text = proposalText(proposal)
  const [address, setAddress] = useState<string>()
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([text], { type: 'application/json' }))
    setAddress(made)
    return () => URL.revokeObjectURL(made)
  }, [text])
  return html`<p><b>It is signed, and counts when these have signed it, too:</b></p>
    <ul class="keys">${missingSigners(proposal).map((peer) => html`<li key=${peer}><code>${peer}</code></li>`)}</ul>
    <p>Send them this file. They open it under “Sign a proposal” of any node's console, or run <code>mirrormesh admin sign ${FILE}</code>. Nothing in it is secret.</p>
    <p><a class="button" href=${address} download=${FILE}>Save ${FILE}</a></p>
    <label class="stacked">The same as text <textarea readonly rows="6" spellcheck=${false} onFocus=${(event: Event) => (event.target as HTMLTextAreaElement).select()} value=${text}></textarea></label>`
}
