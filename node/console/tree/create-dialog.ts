/**
 * A new tree: two records, of the tree and of its first publisher. One that was deleted comes back with its history and
 * as it was set. Closed between the two, the tree is there without a publisher, and the same again goes on from there.
 */
import { useEffect, useState } from 'preact/hooks'
import { isTreeName } from '../../../src/base/names.ts'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { TreeDocument } from '../../api/answers.ts'
import { Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { html } from '../html.ts'
import { type KeyChoice, keyName, keyOf, PublisherField } from '../parts/publisher-field.ts'
import { linkTo } from '../route.ts'
import { nextVersion } from '../signing/record.ts'
import { quoted, shown } from '../text.ts'
import { draftOf, faultOf, flagsOf, SettingsFields, settingsOf } from './settings-fields.ts'
import { epochBody, findTree, PLAIN, type TreeSettings, treeBody } from './tree-body.ts'

const LOOK_UP_MS = 250

export function CreateDialog({ status, onClose }: { status: StatusDocument; onClose: () => void }) {
  const [name, setName] = useState('')
  const [choice, setChoice] = useState<KeyChoice>({ peer: status.self.peer, typed: '' })
  const [draft, setDraft] = useState(draftOf(PLAIN))
  const former = useDeleted(name)

  const publisher = keyOf(choice)
  const settings = settingsOf(draft)
  const isName = isTreeName(name)
  const isTaken = status.trees.some(({ tree, publisher }) => tree === name && publisher !== null)
  const fault = former === undefined ? faultOf(draft) : undefined
  const run = async () => {
    await createTree(name, publisher!, settings)
    location.hash = linkTo('trees', name)
    return undefined
  }
  return html`<${Dialog} title="A new tree" confirm="Create it" signs=${{ publishes: name, publisher }} run=${run} onClose=${onClose}
    isReady=${isName && !isTaken && publisher !== undefined && fault === undefined}
    command=${['mirrormesh tree create', quoted(name || 'NAME'), `--publisher ${keyName(choice, status)}`, ...(former === undefined ? flagsOf(PLAIN, settings) : [])].join(' ')}>
    <div class="fields">
      <label>Name <input type="text" value=${name} autofocus placeholder="builds/rhel-10/nightly" spellcheck=${false} autocomplete="off"
        onInput=${(event: InputEvent) => setName((event.target as HTMLInputElement).value)} /></label>
      <${PublisherField} label="Published by" choice=${choice} status=${status} onChange=${setChoice} />
    </div>
    ${name !== '' && !isName && html`<p class="notice warn">A name is 1 to 8 parts joined by “/”, each of a-z, 0-9, “.”, “_” and “-”, and begins with a letter or a digit.</p>`}
    ${isTaken && html`<p class="notice warn">There is a tree ${shown(name)} already.</p>`}
    ${former !== undefined && html`<p class="notice" role="status"><b>${shown(name)} was deleted.</b> It comes back with its history${former.head !== null && html`, up to @${former.head.sequence}`}, and as it was set: ${former.kind}, ${former.readers === 'granted' ? 'private' : 'read by every member'}.</p>`}
    ${former === undefined && html`<${SettingsFields} draft=${draft} onChange=${setDraft} />`}
    ${fault !== undefined && html`<p class="notice warn">${fault}</p>`}
    <p class="quiet">It has no snapshot until its publisher publishes one, and lies nowhere else until it is pinned.</p>
  </${Dialog}>`
}

async function createTree(tree: string, publisher: string, settings: TreeSettings): Promise<void> {
  const found = await findTree(tree)
  if (found?.epoch != null) throw new Error(`there is a tree ${tree} already`)
  if (found === undefined) {
    const version = await nextVersion('tree', tree)
    // What was private stays private when it comes back: its history comes back with it.
    const basis = (await findTree(tree, true)) ?? settings
    await sign('tree', treeBody({ ...basis, tree, publishers: [publisher] }, version))
  }
  const now = found ?? (await findTree(tree))
  if (now?.epoch != null && now.epoch.publisher !== publisher)
    throw new Error(`${tree} is back, and its publisher is still the one of before: hand it over next`)
  if (now?.epoch == null)
    await sign('epoch', epochBody({ tree, epoch: 1, previous: null, publisher, base: null }))
}

/** The tree of that name that was deleted, asked for once the typing rests. */
function useDeleted(name: string): TreeDocument | undefined {
  const [found, setFound] = useState<TreeDocument>()
  useEffect(() => {
    setFound(undefined)
    if (!isTreeName(name)) return
    let isGone = false
    const timer = setTimeout(() => {
      findTree(name, true).then(
        (tree) => {
          if (!isGone) setFound(tree?.isRemoved === true ? tree : undefined)
        },
        // What cannot be asked now is said when it is created.
        () => undefined,
      )
    }, LOOK_UP_MS)
    return () => {
      isGone = true
      clearTimeout(timer)
    }
  }, [name])
  return found
}
