/** How a tree is set: its publisher, kind, readers, gate, what stays; its tags and takedowns; and the ways to change that. */
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { TreeDocument } from '../../api/answers.ts'
import { Action } from '../actions/dialog.ts'
import { type Children, html } from '../html.ts'
import { linkTo } from '../route.ts'
import { shortId, shown } from '../text.ts'
import { DeleteDialog, HandOverDialog, SettingsDialog } from './admin-dialogs.ts'
import { keepText } from './pin-text.ts'
import { gateText } from './settings-fields.ts'
import { Tags } from './tags.ts'
import { Takedowns } from './takedowns.ts'
import { Versions } from './versions.ts'

export function TreeSettingsView({
  tree,
  status,
  onChange,
}: {
  tree: TreeDocument
  status: StatusDocument
  onChange: () => void
}) {
  const close = (onClose: () => void) => (): void => {
    onClose()
    onChange()
  }
  const others = tree.publishers.filter((peer) => peer !== tree.epoch?.publisher)
  return html`<div class="columns"><section class="card" aria-labelledby="settings-title">
      <header class="card-head"><h2 id="settings-title">Settings</h2>
        <${Action} label="Change" dialog=${(onClose: () => void) => html`<${SettingsDialog} tree=${tree} onClose=${close(onClose)} />`} /></header>
      <dl class="pairs">
        <dt>Kind</dt><dd>${tree.kind}</dd>
        <dt>Read by</dt><dd>${tree.readers === 'granted' ? html`<span class="tag warn">private</span> its publishers, and members with a reader's grant` : 'every member'}</dd>
        <dt>Gate</dt><dd>${shown(gateText(tree.gate))}</dd>
        <dt>Sites keep</dt><dd>${tree.keep === null ? "what the sites' settings say" : keepText(tree.keep)}, where no pin says otherwise</dd>
      </dl>
    </section>
    <section class="card" aria-labelledby="publisher-title">
      <header class="card-head"><h2 id="publisher-title">Publisher</h2>
        ${tree.fork === null && html`<${Action} label="Hand over" dialog=${(onClose: () => void) => html`<${HandOverDialog} tree=${tree} status=${status} onClose=${close(onClose)} />`} />`}</header>
      <dl class="pairs">
        <dt>Now</dt><dd>${tree.epoch === null ? 'nobody' : html`<${Who} peer=${tree.epoch.publisher} status=${status} />, epoch ${tree.epoch.epoch}`}</dd>
        ${others.length > 0 && html`<dt>Before</dt><dd>${others.map((peer, i) => html`${i > 0 && ', '}<${Who} key=${peer} peer=${peer} status=${status} />`)}</dd>`}
      </dl>
    </section></div>
    ${tree.kind === 'versioned' && html`<${Versions} tree=${tree} isOwn=${tree.epoch?.publisher === status.self.peer} />`}
    <${Tags} tree=${tree} onChange=${onChange} />
    <${Takedowns} tree=${tree} status=${status} />
    <section class="card" aria-labelledby="delete-title">
      <header class="card-head"><h2 id="delete-title">Take it out of the mesh</h2>
        <${Action} label="Delete the tree" tone="danger" dialog=${(onClose: () => void) => html`<${DeleteDialog} tree=${tree} status=${status} onClose=${close(onClose)} />`} /></header>
      <p class="quiet">Nobody fetches it any more, and sites collect what they hold of it; check-outs stay.</p>
    </section>`
}

/** A key by the site whose node has it. */
export function Who({ peer, status }: { peer: string; status: StatusDocument }): Children {
  const site = status.sites.find((each) => each.peer === peer)?.site
  return site === undefined
    ? html`<code title=${peer}>${shortId(peer)}</code>`
    : html`<a href=${linkTo('sites', site)}>${shown(site)}</a>`
}
