/** The tags of a tree, and the ways to move them and to take them away. */
import type { HeadDocument, TreeDocument } from '../../api/answers.ts'
import { Action } from '../actions/dialog.ts'
import { html } from '../html.ts'
import { linkTo } from '../route.ts'
import { shortId, shown } from '../text.ts'
import { TagDialog } from './snapshot-dialogs.ts'

type Tag = TreeDocument['tags'][number]

export function Tags({ tree, onChange }: { tree: TreeDocument; onChange: () => void }) {
  const close = (onClose: () => void) => (): void => {
    onClose()
    onChange()
  }
  const dialog =
    (head: Pick<HeadDocument, 'sequence' | 'snapshot'>, first: object) => (onClose: () => void) =>
      html`<${TagDialog} tree=${tree.tree} head=${head} tags=${tree.tags} ...${first} onClose=${close(onClose)} />`
  const { head } = tree
  return html`<section class="card" aria-labelledby="tags-title">
    <header class="card-head"><h2 id="tags-title">Tags</h2>
      ${head !== null && html`<${Action} label=${`Tag @${head.sequence}`} dialog=${dialog(head, {})} />`}</header>
    ${
      tree.tags.length === 0
        ? html`<p class="nothing">No snapshot has a name. Any is tagged in the <a href=${linkTo('trees', tree.tree, { view: 'history' })}>history</a>.</p>`
        : html`<div class="scroll-x" tabindex="0" role="region" aria-labelledby="tags-title"><table>
          <thead><tr><th>Tag</th><th class="number">At</th><th>Snapshot</th><th></th></tr></thead>
          <tbody>${tree.tags.map(
            (tag: Tag) => html`<tr key=${tag.tag}>
              <td><span class="tag info">${shown(tag.tag)}</span></td>
              <td class="number">@${tag.sequence}</td>
              <td class="quiet"><code title=${tag.snapshot}>${shortId(tag.snapshot)}</code></td>
              <td class="buttons">
                ${head !== null && tag.sequence !== head.sequence && html`<${Action} label=${`Move to @${head.sequence}`} tone="quiet" dialog=${dialog(head, { first: tag.tag })} />`}
                <${Action} label="Take away" tone="quiet" dialog=${dialog(tag, { first: tag.tag, removes: true })} />
              </td>
            </tr>`,
          )}</tbody></table></div>`
    }
  </section>`
}
