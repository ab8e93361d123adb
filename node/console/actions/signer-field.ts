/** The part of a dialog that says with what a change is signed, and lets one choose. */
import { useEffect, useState } from 'preact/hooks'
import { matchesTree } from '../../../src/base/names.ts'
import { html } from '../html.ts'
import { status } from '../live.ts'
import { isProtected, MAX_KEY_FILE_BYTES, openKeyFile } from '../signing/key-file.ts'
import { useValue } from '../state.ts'
import { shortId, shown } from '../text.ts'
import { findNodeGrants, type Grant, type Signer, signer, useKey } from './keys.ts'

/** Whose signature suffices beside an admin's; of nobody when it is empty. */
export interface Suffices {
  /** Of an operator. */
  readonly right?: 'pins' | 'tags' | 'drains'
  /** A tree that is new: of a publisher of such names, who lets itself publish and nobody else. */
  readonly publishes?: string
  readonly publisher?: string | undefined
  /** The recovery key, where that may do it alone. */
  readonly recovery?: string
}

export function SignerField({ right, publishes, publisher, recovery }: Suffices) {
  const found = useValue(signer)
  const isLent = right !== undefined || publishes !== undefined
  const [nodeGrants, setNodeGrants] = useState<readonly Grant[]>([])
  const [sealed, setSealed] = useState<string>()
  const [trouble, setTrouble] = useState<string>()
  const [isOpening, setOpening] = useState(false)

  useEffect(() => {
    if (isLent) findNodeGrants().then(setNodeGrants, () => setNodeGrants([]))
  }, [isLent])
  const does = ({ peer, role, may, trees }: Grant): boolean =>
    right !== undefined
      ? role === 'operator' && may.includes(right)
      : publishes !== undefined &&
        role === 'publisher' &&
        peer === publisher &&
        trees.some((pattern) => matchesTree(pattern, publishes))
  const isNodeAble = nodeGrants.some(does)

  const open = async (text: string, passphrase?: string): Promise<void> => {
    setTrouble(undefined)
    setOpening(true)
    try {
      await useKey(await openKeyFile(text, passphrase))
      setSealed(undefined)
    } catch (error) {
      setTrouble((error as Error).message)
    } finally {
      setOpening(false)
    }
  }
  const choose = async (event: Event): Promise<void> => {
    const input = event.target as HTMLInputElement
    const file = input.files?.[0]
    if (file === undefined) return
    if (file.size > MAX_KEY_FILE_BYTES) return setTrouble('this is not a key file of mirrormesh')
    const text = await file.text()
    input.value = ''
    try {
      if (isProtected(text)) setSealed(text)
      else await open(text)
    } catch (error) {
      setTrouble((error as Error).message)
    }
  }
  return html`<fieldset class="signer">
    <legend>Signed with</legend>
    ${
      found !== undefined
        ? html`<p>${describe(found, does, recovery)} <button type="button" class="quiet" onClick=${() => signer.set(undefined)}>Another</button></p>`
        : html`<p class="quiet">A change of the mesh takes a signature. The key stays in this page and is gone with it.</p>
          <label class="file">Key file <input type="file" onChange=${choose} /></label>
          ${
            sealed !== undefined &&
            html`<label class="pass">Passphrase
              <input type="password" autocomplete="off" autofocus onKeyDown=${(event: KeyboardEvent) => {
                if (event.key !== 'Enter') return
                event.preventDefault()
                void open(sealed, (event.target as HTMLInputElement).value)
              }} />
              <small>${isOpening ? 'Opening, this takes a few seconds …' : 'Enter opens it.'}</small></label>`
          }
          ${
            isNodeAble &&
            html`<button type="button" onClick=${() => signer.set({ by: 'node' })}>Sign with the key of this node</button>`
          }`
    }
    ${trouble !== undefined && html`<p class="notice bad" role="alert">${shown(trouble)}</p>`}
  </fieldset>`
}

function describe(found: Signer, does: (grant: Grant) => boolean, recovery: string | undefined) {
  if (found.by === 'node') return html`the key of this node, <b>${shown(status.get()?.self.site ?? '')}</b>`
  const { key, isAdmin, grants } = found
  const may = grants.find(does)
  return html`<code title=${key.peer}>${shortId(key.peer)}</code>, ${
    isAdmin
      ? 'an admin'
      : key.peer === recovery
        ? 'the recovery key'
        : may !== undefined
          ? may.role === 'operator'
            ? 'an operator'
            : 'a publisher'
          : html`<span class="tag warn">neither an admin nor an operator who may: it will be refused</span>`
  }`
}
