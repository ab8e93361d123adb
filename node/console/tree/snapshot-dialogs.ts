/** What is done to one snapshot: a tag is set or taken away, or the tree goes back to it. */
import { useState } from 'preact/hooks'
import { isSegment } from '../../../src/base/names.ts'
import type { HeadDocument, TreeDocument } from '../../api/answers.ts'
import type { RollBackAnswer } from '../../api/jobs/job-answers.ts'
import { Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { html } from '../html.ts'
import { runJob } from '../parts/job.ts'
import { linkOf, nextVersion } from '../signing/record.ts'
import { quoted, shown } from '../text.ts'

export function TagDialog({
  tree,
  head,
  tags,
  first = '',
  removes = false,
  onClose,
}: {
  tree: string
  head: Pick<HeadDocument, 'sequence' | 'snapshot'>
  /** The name that it begins with, and whether that is to go. */
  first?: string
  removes?: boolean
  tags: TreeDocument['tags']
  onClose: () => void
}) {
  const own = tags.filter(({ sequence }) => sequence === head.sequence)
  const [tag, setTag] = useState(first)
  const [isRemoved, setRemoved] = useState(removes)
  const moved = tags.find((each) => each.tag === tag && each.sequence !== head.sequence)
  // A number is a sequence, and head is always the newest.
  const isName = isSegment(tag) && !/^\d+$/.test(tag) && tag !== 'head'
  const run = async (): Promise<undefined> => {
    await sign('tag', {
      tree,
      tag,
      snapshot: linkOf(head.snapshot),
      sequence: head.sequence,
      version: await nextVersion('tag', tag, tree),
      removed: isRemoved,
    })
    return undefined
  }
  return html`<${Dialog} title=${isRemoved ? 'Take a tag away' : `Tag ${tree}@${head.sequence}`} confirm=${isRemoved ? 'Take it away' : 'Set the tag'}
    isHarmful=${isRemoved} isReady=${isName} signs=${{ right: 'tags' }} run=${run} onClose=${onClose}
    command=${isRemoved ? `mirrormesh tag ${quoted(tree)} ${quoted(tag || 'NAME')} --remove` : `mirrormesh tag ${quoted(`${tree}@${head.sequence}`)} ${quoted(tag || 'NAME')}`}>
    <div class="fields">
      <label>Name <input type="text" value=${tag} autofocus spellcheck=${false} placeholder="ga" onInput=${(
        event: InputEvent,
      ) => {
        setTag((event.target as HTMLInputElement).value)
        setRemoved(false)
      }} /></label>
    </div>
    ${tag !== '' && !isName && html`<p class="notice warn">1 to 64 of a-z, 0-9, ".", "_" and "-"; not a number, and not head.</p>`}
    ${moved !== undefined && html`<p class="notice warn">${shown(tag)} is at @${moved.sequence} now: it moves here.</p>`}
    ${
      own.length > 0 &&
      html`<p class="quiet">Here already: ${own.map(
        ({ tag: name }) => html`<button key=${name} type="button" class="quiet"
      onClick=${() => {
        setTag(name)
        setRemoved(true)
      }}>${shown(name)}: take away</button> `,
      )}</p>`
    }
    <p class="quiet">What is tagged <b>latest</b> is what gateways serve. A tagged snapshot is not collected.</p>
  </${Dialog}>`
}

export function RollBackDialog({
  tree,
  head,
  newest,
  onClose,
}: {
  tree: string
  head: HeadDocument
  newest: HeadDocument
  onClose: () => void
}) {
  const run = async () => {
    const { sequence, ofSequence } = await runJob<RollBackAnswer>({
      kind: 'roll-back',
      tree,
      ref: String(head.sequence),
    })
    return html`<p><b>${shown(tree)}@${sequence}</b> is the head now, and has the snapshot of @${ofSequence}.</p>`
  }
  return html`<${Dialog} title=${`Go back to ${tree}@${head.sequence}`} confirm="Roll back" isHarmful run=${run} onClose=${onClose}
    command=${`mirrormesh tree rollback ${quoted(`${tree}@${head.sequence}`)}`}>
    <p>A new head is published, after @${newest.sequence}, that has the snapshot of @${head.sequence}. Every site that keeps the tree
      follows it, and its check-outs with it. Nothing is lost: @${newest.sequence} stays in the history.</p>
    <p class="quiet">It is signed by the publisher's node, so it works at that node alone, and takes a token of the scope admin.</p>
  </${Dialog}>`
}
