/** What changed between two snapshots, and what a site that holds the one would fetch for the other. */
import { useEffect, useMemo, useState } from 'preact/hooks'
import type { TreeStatus } from '../../../src/replica/status/status.ts'
import type { DiffBytesAnswer, DiffHeader, DiffLine, HeadDocument } from '../../api/answers.ts'
import { formatBytes, formatCount } from '../../cli/quantity.ts'
import { getLines, type Problem } from '../api.ts'
import { type Children, html } from '../html.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { linkTo } from '../route.ts'
import { shown } from '../text.ts'
import { treePath } from './address.ts'

/** Read to be counted; fewer are shown. */
const COUNTED = 20_000
const SHOWN = 500

export function Changes({
  tree,
  from,
  to,
}: {
  tree: TreeStatus
  from: string | undefined
  to: string | undefined
}) {
  const newest = tree.sequence ?? 0
  const target = to ?? String(newest)
  const base = from ?? String(Math.max(1, Number(target) - 1))
  const { value } = useDocument<{ heads: HeadDocument[] }>(
    treePath(tree.tree, 'history', { limit: '500' }),
    0,
    `${newest}`,
  )
  const sequences = useMemo(() => value?.heads.map(({ sequence }) => String(sequence)) ?? [], [value])
  const go = (part: Readonly<Record<string, string>>): void => {
    location.hash = linkTo('trees', tree.tree, { view: 'changes', from: base, to: target, ...part })
  }
  const choice = (label: string, name: 'from' | 'to', at: string) => html`<label>${label} <select
    onChange=${(event: Event) => go({ [name]: (event.target as HTMLSelectElement).value })}>
    ${[...new Set([at, ...sequences])].map((each) => html`<option key=${each} value=${each} selected=${each === at}>@${each}</option>`)}
  </select></label>`
  if (newest === 0) return html`<p class="nothing">Nothing has been published yet.</p>`
  return html`<section class="card" aria-labelledby="changes-title">
    <header class="card-head">
      <h2 id="changes-title">Changes</h2>
      <div class="tools">${choice('From', 'from', base)}${choice('to', 'to', target)}</div>
    </header>
    ${base === target ? html`<p class="nothing">Choose two snapshots.</p>` : html`<${Between} tree=${tree.tree} from=${base} to=${target} />`}
  </section>`
}

function Between({ tree, from, to }: { tree: string; from: string; to: string }) {
  const query = { ref: from, toTree: tree, toRef: to }
  const bytes = useDocument<DiffBytesAnswer>(treePath(tree, 'diff-bytes', query)).value
  const told =
    bytes === undefined
      ? undefined
      : html`<span class="quiet">A site that holds @${from} fetches ${formatBytes(bytes.indexBytes + (bytes.deltas === null ? bytes.zstdBytes : bytes.deltas.bytes + bytes.deltas.restZstdBytes))} for @${to}${bytes.deltas === null ? '' : ', by deltas'}; ${formatBytes(bytes.newBytes)} are new.</span>`
  return html`<${Difference} tree=${tree} from=${from} to=${to} label="changes-title" told=${told} />`
}

/** @param label id of the heading that it stands under */
export function Difference({
  tree,
  from,
  to,
  label,
  told,
}: {
  tree: string
  from: string
  to: string
  label: string
  told?: Children
}) {
  const address = treePath(tree, 'diff', { ref: from, toTree: tree, toRef: to })
  const [state, setState] = useState<{
    of?: string
    items?: DiffLine[]
    isWhole?: boolean
    problem?: Problem
  }>({})
  useEffect(() => {
    const controller = new AbortController()
    getLines<DiffHeader, DiffLine>(address, COUNTED, controller.signal).then(
      ({ items, isWhole }) => setState({ of: address, items, isWhole }),
      (problem: Problem) => {
        if (!controller.signal.aborted) setState({ of: address, problem })
      },
    )
    return () => controller.abort()
  }, [address])
  if (state.of !== address) return html`<p class="nothing" role="status">Comparing …</p>`
  if (state.problem !== undefined) return html`<${Trouble} problem=${state.problem} />`
  const { items = [], isWhole = true } = state
  const count = (change: DiffLine['change']): string =>
    formatCount(items.filter((each) => each.change === change).length)
  return html`<p class="summary" role="status">
      <span class="tag good">${count('added')} added</span>
      <span class="tag info">${count('changed')} changed</span>
      <span class="tag bad">${count('removed')} removed</span>
      ${items.some(({ change }) => change === 'type') && html`<span class="tag warn">${count('type')} of another type</span>`}
      ${!isWhole && html`<span class="quiet">of the first ${formatCount(COUNTED)}</span>`}
      ${told}
    </p>
    ${
      items.length === 0
        ? html`<p class="nothing">They are the same.</p>`
        : html`<div class="scroll-x" tabindex="0" role="region" aria-labelledby=${label}><table class="files">
          <thead><tr><th>What</th><th>Path</th><th class="number">Size</th></tr></thead>
          <tbody>${items.slice(0, SHOWN).map(
            (line, i) => html`<tr key=${i}>
              <td class="nowrap"><span class="mark-${line.change}">${line.change === 'changed' && !line.content ? 'metadata' : line.change}</span> <code class="quiet">${line.items}</code></td>
              <td class="entry">${line.path === '' ? html`<span class="quiet">the root itself</span>` : shown(line.path)}${line.target !== undefined && html` <span class="quiet">→ ${shown(line.target)}</span>`}</td>
              <td class="number">${line.sizeBytes === undefined ? '' : formatBytes(line.sizeBytes)}</td>
            </tr>`,
          )}</tbody></table></div>`
    }
    ${items.length > SHOWN && html`<p class="nothing">and ${formatCount(items.length - SHOWN)} more: mirrormesh diff ${tree}@${from} ${tree}@${to}</p>`}`
}
