/** What an admin does to a tree as a whole: sets it otherwise, gives it another publisher, takes it out of the mesh. */
import { useState } from 'preact/hooks'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { TreeDocument } from '../../api/answers.ts'
import { countOf, formatBytes } from '../../cli/quantity.ts'
import { Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { html } from '../html.ts'
import { type KeyChoice, keyName, keyOf, PublisherField } from '../parts/publisher-field.ts'
import { linkTo } from '../route.ts'
import { nextVersion } from '../signing/record.ts'
import { quoted, shown } from '../text.ts'
import { draftOf, faultOf, flagsOf, SettingsFields, settingsOf } from './settings-fields.ts'
import { startEpoch } from './start-epoch.ts'
import { readAgain, treeBody } from './tree-body.ts'

interface TreeDialogProps {
  readonly tree: TreeDocument
  readonly status: StatusDocument
  readonly onClose: () => void
}

/** The page follows the mesh while a dialog is open: what is signed follows from what the user saw when they opened it. */
function useSeen(tree: TreeDocument): TreeDocument {
  return useState(tree)[0]
}

export function SettingsDialog({ tree: now, onClose }: Omit<TreeDialogProps, 'status'>) {
  const tree = useSeen(now)
  const [draft, setDraft] = useState(draftOf(tree))
  const settings = settingsOf(draft)
  const fault = faultOf(draft)
  const flags = flagsOf(tree, settings)
  const run = async (): Promise<undefined> => {
    const now = await readAgain(tree)
    await sign('tree', treeBody({ ...now, ...settings }, await nextVersion('tree', tree.tree)))
    return undefined
  }
  const isOpened = tree.readers === 'granted' && settings.readers === 'members'
  return html`<${Dialog} title=${`Settings of ${tree.tree}`} confirm="Change them" signs=${{}} run=${run} onClose=${onClose}
    isHarmful=${isOpened} isReady=${fault === undefined && flags.length > 0}
    command=${['mirrormesh tree set', quoted(tree.tree), ...(flags.length === 0 ? ['…'] : flags)].join(' ')}>
    <${SettingsFields} draft=${draft} onChange=${setDraft} />
    ${fault !== undefined && html`<p class="notice warn">${fault}</p>`}
    ${isOpened && html`<p class="notice warn">Every member may read it then, its history included. What was read cannot be taken back.</p>`}
    <p class="quiet">What is kept counts where no pin says otherwise. A gate and a kind count from the next publish on.</p>
  </${Dialog}>`
}

export function HandOverDialog({ tree: now, status, onClose }: TreeDialogProps) {
  const tree = useSeen(now)
  const first = status.sites.find(({ peer }) => peer !== tree.epoch?.publisher)?.peer ?? ''
  const [choice, setChoice] = useState<KeyChoice>({ peer: first, typed: '' })
  const publisher = keyOf(choice)
  const before = status.sites.find(({ peer }) => peer === tree.epoch?.publisher)?.site
  const run = async (): Promise<undefined> => {
    const now = await readAgain(tree)
    await startEpoch(now, { publisher: publisher!, before: now.epoch?.id ?? null, base: now.head })
    return undefined
  }
  return html`<${Dialog} title=${`Hand ${tree.tree} over`} confirm="Hand it over" isHarmful signs=${{}} run=${run} onClose=${onClose}
    isReady=${publisher !== undefined && publisher !== tree.epoch?.publisher}
    command=${`mirrormesh tree hand-over ${quoted(tree.tree)} --publisher ${keyName(choice, status)}`}>
    <p>A new epoch begins${tree.head !== null && html`, after <b>@${tree.head.sequence}</b>`}: only the new publisher's heads count from then on. What
      ${before === undefined ? ' the old one' : html` <b>${shown(before)}</b>`} publishes after it, or has published and this node has not heard of, counts no more.</p>
    <div class="fields"><${PublisherField} label="The new publisher" choice=${choice} status=${status} without=${tree.epoch?.publisher} onChange=${setChoice} /></div>
    ${publisher === tree.epoch?.publisher && html`<p class="notice warn">That key publishes it already.</p>`}
  </${Dialog}>`
}

export function DeleteDialog({ tree: now, status, onClose }: TreeDialogProps) {
  const tree = useSeen(now)
  const [typed, setTyped] = useState('')
  const sites = status.trees.find((each) => each.tree === tree.tree)?.sites ?? []
  const run = async (): Promise<undefined> => {
    const now = await readAgain(tree)
    await sign('tree', treeBody(now, await nextVersion('tree', tree.tree), { isRemoved: true }))
    location.hash = linkTo('trees')
    return undefined
  }
  return html`<${Dialog} title=${`Take ${tree.tree} out of the mesh`} confirm="Delete it" isHarmful signs=${{}} run=${run} onClose=${onClose}
    isReady=${typed === tree.tree} command=${`mirrormesh tree delete ${quoted(tree.tree)}`}>
    <p>Nobody fetches it any more, and nobody can publish it. ${
      sites.length === 0
        ? 'No site keeps it.'
        : html`It is kept at ${countOf(sites.length, 'site')}: ${sites.slice(0, 8).map(({ site }, i) => html`${i > 0 && ', '}<b>${shown(site)}</b>`)}${sites.length > 8 && ` and ${sites.length - 8} more`}${tree.head?.bytes != null && `, ${formatBytes(tree.head.bytes)} at each`}.`
    }</p>
    <p>What sites hold of it is collected after <code>keepUnpinnedDays</code> (7 unless set); check-outs stay as they are. Until it is collected, creating a
      tree of the same name brings it back with its history.</p>
    <div class="fields"><label>Type ${shown(tree.tree)} to be sure <input type="text" value=${typed} autofocus autocomplete="off" spellcheck=${false}
      onInput=${(event: InputEvent) => setTyped((event.target as HTMLInputElement).value)} /></label></div>
  </${Dialog}>`
}
