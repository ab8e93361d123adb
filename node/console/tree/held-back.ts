/** What the publisher of a tree did not publish, for what it drops; and an admin's verdict on it. */
import { describeHeldBack } from '../../../src/replica/status/held-back-status.ts'
import type { HeldBackStatus } from '../../../src/replica/status/status.ts'
import { Action, Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { html } from '../html.ts'
import { linkOf, nextVersion } from '../signing/record.ts'
import { atTime, quoted, shown } from '../text.ts'

export function HeldBack({ tree, held }: { tree: string; held: HeldBackStatus }) {
  const dialog = (accepted: boolean) => (onClose: () => void) =>
    html`<${VerdictDialog} tree=${tree} held=${held} accepted=${accepted} onClose=${onClose} />`
  return html`<p class="actions">
    <${Action} label="Publish it all the same" dialog=${dialog(true)} />
    <${Action} label="Reject it" dialog=${dialog(false)} />
    <span class="quiet">Nobody's word by ${atTime(held.expiresMs)}: it is let go of.</span>
  </p>`
}

function VerdictDialog({
  tree,
  held,
  accepted,
  onClose,
}: {
  tree: string
  held: HeldBackStatus
  accepted: boolean
  onClose: () => void
}) {
  const run = async (): Promise<undefined> => {
    await sign('verdict', {
      tree,
      previous: linkOf(held.previous),
      snapshot: linkOf(held.snapshot),
      accepted,
      version: await nextVersion('verdict', tree),
    })
    return undefined
  }
  return html`<${Dialog} title=${accepted ? `Publish what ${tree} holds back` : `Reject what ${tree} holds back`}
    confirm=${accepted ? 'Publish it' : 'Reject it'} isHarmful=${accepted} signs=${{}} run=${run} onClose=${onClose}
    command=${`mirrormesh tree ${accepted ? 'accept' : 'reject'} ${quoted(tree)}`}>
    <p>${shown(describeHeldBack(held))}.</p>
    ${
      accepted
        ? html`<p>${shown(held.site)} publishes it as @${held.sequence + 1}, and every site that keeps the tree follows. @${held.sequence} stays in
          the history: a rollback brings it back.</p>`
        : html`<p>${shown(held.site)} lets go of it, and does not ask again for the same. The tree stays at @${held.sequence}.</p>`
    }
    <p class="quiet">What is gone, at ${shown(held.site)}: <code>mirrormesh diff ${quoted(`${tree}@${held.sequence}`)} ${quoted(`${tree}@pending`)}</code></p>
  </${Dialog}>`
}
