/** All trees, as a table: head, size, where it is complete. */
import { useMemo, useState } from 'preact/hooks'
import type { TreeStatus } from '../../../src/replica/status/status.ts'
import { countOf, formatBytes, formatCount } from '../../cli/quantity.ts'
import { Action } from '../actions/dialog.ts'
import { html } from '../html.ts'
import { now } from '../live.ts'
import type { PageProps } from '../page-props.ts'
import { TreeName } from '../parts/tree-name.ts'
import { linkTo } from '../route.ts'
import { useValue } from '../state.ts'
import { age } from '../text.ts'
import { CreateDialog } from './create-dialog.ts'

/** More are found by their names. */
const SHOWN = 200

export function TreeList({ status }: PageProps) {
  const nowMs = useValue(now)
  const [text, setText] = useState('')
  const trees = useMemo(() => {
    const wanted = text.trim().toLowerCase()
    return status.trees
      .filter(({ tree }) => tree.includes(wanted))
      .toSorted((a, b) => (a.tree < b.tree ? -1 : 1))
  }, [status, text])
  const siteOf = useMemo(() => new Map(status.sites.map(({ peer, site }) => [peer, site])), [status.sites])
  return html`<div class="page-head">
      <div><h1 tabindex="-1">Trees</h1><p class="quiet">${countOf(status.trees.length, 'tree')} in this mesh</p></div>
      <div class="tools"><label class="search"><span class="unseen">Trees whose name holds</span>
        <input type="search" placeholder="Filter trees" value=${text}
          onInput=${(event: InputEvent) => setText((event.target as HTMLInputElement).value)} /></label>
        <${Action} label="New tree" tone="primary" dialog=${(onClose: () => void) => html`<${CreateDialog} status=${status} onClose=${onClose} />`} /></div>
    </div>
    <section class="card scroll-x" tabindex="0" aria-label="Trees">
      ${
        trees.length === 0
          ? html`<p class="nothing">${status.trees.length === 0 ? 'There is no tree yet. One begins with “New tree”, or with its first publish: mirrormesh publish ./FOLDER --tree NAME' : 'No tree is called like that.'}</p>`
          : html`<table>
            <thead><tr><th>Tree</th><th class="number">Head</th><th class="number">Published</th>
              <th class="number">Files</th><th class="number">Size</th><th>Publisher</th><th>Complete at</th></tr></thead>
            <tbody>${trees.slice(0, SHOWN).map(
              (tree) => html`<tr key=${tree.tree}>
                <td><a href=${linkTo('trees', tree.tree)} title=${tree.tree}><${TreeName} name=${tree.tree} /></a></td>
                <td class="number">${tree.sequence === null ? '-' : `@${tree.sequence}`}</td>
                <td class="number">${tree.timeMs == null ? '-' : age(tree.timeMs, nowMs)}</td>
                <td class="number">${tree.files === null ? '-' : formatCount(tree.files)}</td>
                <td class="number">${tree.bytes === null ? '-' : formatBytes(tree.bytes)}</td>
                <td>${siteOf.get(tree.publisher ?? '') ?? '-'}</td>
                <td><${Share} tree=${tree} /></td>
              </tr>`,
            )}</tbody></table>`
      }
      ${trees.length > SHOWN && html`<p class="nothing">and ${formatCount(trees.length - SHOWN)} more: filter by name</p>`}
    </section>`
}

function Share({ tree }: { tree: TreeStatus }) {
  const complete = tree.sites.filter(({ state }) => state === 'complete').length
  const of = tree.sites.length
  if (of === 0) return html`<span class="quiet">pinned nowhere</span>`
  const tone = complete === of ? 'good' : complete === 0 ? 'bad' : 'info'
  return html`<span class="tag ${tone}">${complete} of ${countOf(of, 'site')}</span>`
}
