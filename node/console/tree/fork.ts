/** A tree in dispute: the branches side by side, what differs between them, and the choice of the one that stays. */
import { useState } from 'preact/hooks'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { DiffBytesAnswer, HeadDocument, TreeDocument } from '../../api/answers.ts'
import { countOf, formatBytes } from '../../cli/quantity.ts'
import { Action, Dialog } from '../actions/dialog.ts'
import { html } from '../html.ts'
import { now } from '../live.ts'
import { useDocument } from '../parts/load.ts'
import { type KeyChoice, keyName, keyOf, PublisherField } from '../parts/publisher-field.ts'
import { linkTo } from '../route.ts'
import { useValue } from '../state.ts'
import { age, atTime, quoted, shortId, shown } from '../text.ts'
import { treePath } from './address.ts'
import { Difference } from './changes.ts'
import { Who } from './settings.ts'
import { startEpoch } from './start-epoch.ts'
import { readAgain } from './tree-body.ts'

interface ForkProps {
  readonly tree: TreeDocument
  readonly status: StatusDocument
  readonly onChange: () => void
}

export function Fork({ tree, status, onChange }: ForkProps) {
  const fork = tree.fork!
  const ends = fork.tips.length > 0 ? fork.tips : tree.head === null ? [] : [tree.head]
  const [first, second] = ends
  return html`<section class="card dispute" aria-labelledby="fork-title">
    <header class="card-head"><h2 id="fork-title">In dispute: ${countOf(ends.length, 'branch').replace('branchs', 'branches')}</h2>
      ${ends.length === 0 && html`<${Choose} head=${null} tree=${tree} status=${status} onChange=${onChange} others=${0} />`}</header>
    <p>${
      fork.kind === 'epochs'
        ? 'Admins named two publishers at the same time'
        : 'Its publisher signed two heads at one place: its key is in use twice, or it was restored from an old backup'
    }. Every site stays at ${tree.head === null ? 'nothing' : html`<b>@${tree.head.sequence}</b>`}, the last head that all agree on, and nothing more is published until an admin says which branch stays.</p>
    <div class="branches">${ends.map(
      (head) =>
        html`<${Branch} key=${head.id} head=${head} tree=${tree} status=${status} onChange=${onChange} others=${ends.length - 1} />`,
    )}</div>
    ${first !== undefined && second !== undefined && first.snapshot !== second.snapshot && html`<${Between} tree=${tree.tree} from=${first} to=${second} />`}
  </section>`
}

function Branch({
  head,
  tree,
  status,
  onChange,
  others,
}: ForkProps & { head: HeadDocument; others: number }) {
  const nowMs = useValue(now)
  const at = (status.trees.find((each) => each.tree === tree.tree)?.sites ?? []).filter(
    ({ sequence }) => sequence === head.sequence,
  )
  return html`<article class="branch" aria-label=${`The branch that ends in @${head.sequence}, ${shortId(head.snapshot)}`}>
    <header><h3>@${head.sequence} <code title=${head.snapshot}>${shortId(head.snapshot)}</code></h3>
      <${Choose} head=${head} tree=${tree} status=${status} onChange=${onChange} others=${others} /></header>
    <dl class="pairs">
      <dt>Published</dt><dd title=${atTime(head.timeMs)}>${age(head.timeMs, nowMs)} ago, by <${Who} peer=${head.publisher} status=${status} /></dd>
      <dt>Holds</dt><dd>${head.files === null ? 'not known' : html`${countOf(head.files, 'file')}, ${formatBytes(head.bytes ?? 0)}`}</dd>
      <dt>Root</dt><dd><code class="long">${head.snapshot}</code></dd>
      ${at.length > 0 && html`<dt>Sites at @${head.sequence}</dt><dd>${at.map(({ site }) => shown(site)).join(', ')}</dd>`}
    </dl>
  </article>`
}

function Between({ tree, from, to }: { tree: string; from: HeadDocument; to: HeadDocument }) {
  const query = { ref: from.snapshot, toTree: tree, toRef: to.snapshot }
  const bytes = useDocument<DiffBytesAnswer>(treePath(tree, 'diff-bytes', query)).value
  return html`<h3 id="differs-title">What differs, from <code>${shortId(from.snapshot)}</code> to <code>${shortId(to.snapshot)}</code></h3>
    ${bytes !== undefined && html`<p class="quiet">In the second alone: ${countOf(bytes.newBlocks, 'block')}, ${formatBytes(bytes.newBytes)}.</p>`}
    <${Difference} tree=${tree} from=${from.snapshot} to=${to.snapshot} label="differs-title" />`
}

function Choose({
  head,
  tree,
  status,
  others,
  onChange,
}: ForkProps & { head: HeadDocument | null; others: number }) {
  return html`<${Action} label=${head === null ? 'Start anew' : 'Keep this branch'} tone="primary" dialog=${(
    onClose: () => void,
  ) =>
    html`<${ResolveDialog} head=${head} tree=${tree} status=${status} others=${others} onClose=${() => {
      onClose()
      onChange()
    }} />`} />`
}

function ResolveDialog({
  head,
  tree,
  status,
  others,
  onClose,
}: {
  head: HeadDocument | null
  tree: TreeDocument
  status: StatusDocument
  others: number
  onClose: () => void
}) {
  // As it was when the user chose.
  const [seen] = useState(tree)
  const before = tree.epoch?.publisher ?? head?.publisher ?? ''
  const isMember = status.sites.some(({ peer }) => peer === before)
  const [choice, setChoice] = useState<KeyChoice>(
    isMember ? { peer: before, typed: '' } : { peer: '', typed: before },
  )
  const publisher = keyOf(choice)
  const run = async (): Promise<undefined> => {
    const now = await readAgain(seen)
    const follows = now.fork?.kind === 'epochs' ? now.fork.records[0]! : (now.epoch?.id ?? null)
    await startEpoch(now, { publisher: publisher!, before: follows, base: head })
    return undefined
  }
  const command = [
    `mirrormesh tree resolve-fork ${quoted(tree.tree)}`,
    ...(head === null ? [] : [`--keep ${head.snapshot}`]),
    ...(publisher === before ? [] : [`--publisher ${keyName(choice, status)}`]),
  ].join(' ')
  return html`<${Dialog} title=${head === null ? `Start ${tree.tree} anew` : `${tree.tree} goes on from @${head.sequence}`} confirm="Start the new epoch" isHarmful signs=${{}}
    run=${run} onClose=${onClose} isReady=${publisher !== undefined} command=${command}>
    ${
      head === null
        ? html`<p>Nothing was published. A new epoch begins, and its publisher publishes the first snapshot.</p>`
        : html`<p>The branch that ends in <b>@${head.sequence}</b> <code>${shortId(head.snapshot)}</code> stays. ${
            others > 0 &&
            html`<b>${others === 1 ? 'The other branch ends' : `${others} other branches end`}</b>: what was published there counts no more, and sites collect it. <a href=${linkTo('trees', tree.tree, { view: 'history' })}>The history</a> does not have it.`
          }</p>`
    }
    <div class="fields"><${PublisherField} label="Published from then on by" choice=${choice} status=${status} onChange=${setChoice} /></div>
    <p class="quiet">Find out first how the fork came to be. Where a key is in use twice, name another publisher.</p>
  </${Dialog}>`
}
