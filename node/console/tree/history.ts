/** The heads of a tree, newest first: what each changed in number, who holds it, its tags, and the ways back. */
import { useMemo } from 'preact/hooks'
import type { TreeStatus } from '../../../src/replica/status/status.ts'
import type { HeadDocument, TreeDocument } from '../../api/answers.ts'
import { formatBytes, formatCount } from '../../cli/quantity.ts'
import { Action } from '../actions/dialog.ts'
import { html } from '../html.ts'
import { now } from '../live.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { linkTo } from '../route.ts'
import { useValue } from '../state.ts'
import { age, atTime, shown } from '../text.ts'
import { treePath } from './address.ts'
import { RollBackDialog, TagDialog } from './snapshot-dialogs.ts'
import { TakedownDialog } from './takedown-dialog.ts'

const SHOWN = 200
/** Of the names of sites in one line. */
const NAMED = 4

export function TreeHistory({
  tree,
  document,
  onChange,
}: {
  tree: TreeStatus
  document: TreeDocument | undefined
  onChange: () => void
}) {
  const nowMs = useValue(now)
  const { value, problem } = useDocument<{ heads: HeadDocument[] }>(
    treePath(tree.tree, 'history', { limit: String(SHOWN + 1) }),
    0,
    `${tree.sequence}`,
  )
  const holders = useMemo(() => holdersOf(tree), [tree])
  const heads = value?.heads ?? []
  if (problem !== undefined) return html`<${Trouble} problem=${problem} />`
  if (value !== undefined && heads.length === 0)
    return html`<p class="nothing">Nothing has been published yet.</p>`
  return html`<section class="card" aria-labelledby="history-title">
    <header class="card-head"><h2 id="history-title">Snapshots</h2></header>
    <div class="scroll-x" tabindex="0" role="region" aria-labelledby="history-title"><table>
      <thead><tr><th>Snapshot</th><th>Published</th><th class="number">Files</th><th class="number">Size</th><th>Newest at</th><th></th></tr></thead>
      <tbody>${heads.slice(0, SHOWN).map((head, i) => {
        const before = heads[i + 1]
        const tags = document?.tags.filter(({ sequence }) => sequence === head.sequence) ?? []
        const at = holders.get(head.sequence) ?? []
        return html`<tr key=${head.id}>
          <td><b>@${head.sequence}</b> ${tags.map(({ tag }) => html`<span key=${tag} class="tag info">${shown(tag)}</span> `)}</td>
          <td class="nowrap" title=${atTime(head.timeMs)}>${age(head.timeMs, nowMs)} ago</td>
          <td class="number">${head.files === null ? '-' : formatCount(head.files)} <${Change} now=${head.files} before=${before?.files} format=${formatCount} /></td>
          <td class="number">${head.bytes === null ? '-' : formatBytes(head.bytes)} <${Change} now=${head.bytes} before=${before?.bytes} format=${formatBytes} /></td>
          <td class="quiet">${at.slice(0, NAMED).map(shown).join(', ')}${at.length > NAMED && ` and ${at.length - NAMED} more`}</td>
          <td class="buttons">
            <a href=${linkTo('trees', tree.tree, { view: 'files', ref: String(head.sequence) })}>Files</a>
            ${before !== undefined && html`<a href=${linkTo('trees', tree.tree, { view: 'changes', from: String(before.sequence), to: String(head.sequence) })}>Changes</a>`}
            <${Action} label="Tag" tone="quiet" dialog=${(
              onClose: () => void,
            ) => html`<${TagDialog} tree=${tree.tree} head=${head}
              tags=${document?.tags ?? []} onClose=${() => {
                onClose()
                onChange()
              }} />`} />
            ${
              i > 0 &&
              html`<${Action} label="Roll back" tone="quiet" dialog=${(onClose: () => void) => html`<${RollBackDialog} tree=${tree.tree} head=${head} newest=${heads[0]!} onClose=${onClose} />`} />`
            }
            <${Action} label="Take down" tone="quiet" dialog=${(onClose: () => void) => html`<${TakedownDialog} tree=${tree.tree} sequence=${head.sequence} onClose=${onClose} />`} />
          </td>
        </tr>`
      })}</tbody></table></div>
    ${heads.length > SHOWN && html`<p class="nothing">Older ones: mirrormesh tree history ${tree.tree}</p>`}
  </section>`
}

function holdersOf(tree: TreeStatus): ReadonlyMap<number, string[]> {
  const found = new Map<number, string[]>()
  for (const { site, sequence } of tree.sites) {
    if (sequence === null) continue
    const those = found.get(sequence) ?? []
    those.push(site)
    found.set(sequence, those)
  }
  return found
}

function Change({
  now: current,
  before,
  format,
}: {
  now: number | null
  before: number | null | undefined
  format: (value: number) => string
}) {
  if (current === null || before == null || current === before) return null
  const by = current - before
  return html`<small class="change ${by > 0 ? 'more' : 'less'}">${by > 0 ? '+' : '−'}${format(Math.abs(by))}</small>`
}
