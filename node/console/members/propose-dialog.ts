/**
 * A change of the admins: who comes, who leaves, how many must agree. Signed here by who makes it; with enough signatures it counts
 * at once, else it is a file that goes to the others.
 */
import { useState } from 'preact/hooks'
import type { AdminsDocument } from '../../api/schema/member-answers.ts'
import { Dialog } from '../actions/dialog.ts'
import { signer } from '../actions/keys.ts'
import { getJson } from '../api.ts'
import { html } from '../html.ts'
import { publicKeyOf } from '../signing/encode.ts'
import type { SigningKey } from '../signing/key-file.ts'
import { readPayload, signProposal } from '../signing/proposal.ts'
import { type Chain, payloadOf } from '../signing/record.ts'
import { useValue } from '../state.ts'
import { shortId } from '../text.ts'
import { goOn } from './hand-on.ts'
import { adminSetBody, type NewAdmins } from './record-bodies.ts'

export function ProposeDialog({ before: now, onClose }: { before: AdminsDocument; onClose: () => void }) {
  // As it was when the user looked: a change that is based on another set would count for nobody.
  const [before] = useState(now)
  const [gone, setGone] = useState<readonly string[]>([])
  const [text, setText] = useState('')
  const [most, setMost] = useState<string>()
  const [recovery, setRecovery] = useState('')
  const [cosigners, setCosigners] = useState<readonly string[]>([])
  const found = useValue(signer)
  const own = found?.by === 'file' ? found.key.peer : undefined
  const isRecovery = own === before.recovery

  const added = namesIn(text).filter((peer) => !before.keys.includes(peer))
  const unknown = [...added, ...namesIn(recovery)].find((peer) => !isPeer(peer))
  const keys = [...before.keys.filter((peer) => !gone.includes(peer)), ...added]
  const threshold = Number(most ?? Math.min(before.threshold, keys.length))
  const others = before.keys.filter((peer) => peer !== own)
  const alsoSign = isRecovery ? [] : cosigners.filter((peer) => others.includes(peer))
  const lacking = isRecovery ? 0 : Math.max(0, before.threshold - 1 - alsoSign.length)
  const after: NewAdmins = { keys, threshold, recovery: namesIn(recovery)[0] ?? before.recovery }
  const isChange =
    added.length > 0 ||
    gone.length > 0 ||
    threshold !== before.threshold ||
    after.recovery !== before.recovery
  const fault = faultOf(before, after, { own, isRecovery, lacking, unknown })

  const run = async () => {
    if (found?.by !== 'file') throw new Error('choose the file of the key that signs this')
    return goOn(await propose(found.key, before, after, { gone, cosigners: alsoSign }))
  }
  const toggle =
    (list: readonly string[], set: (list: readonly string[]) => void, peer: string) => (event: Event) =>
      set((event.target as HTMLInputElement).checked ? [...list, peer] : list.filter((each) => each !== peer))
  return html`<${Dialog} title="Propose other admins" confirm=${before.threshold > 1 && !isRecovery ? 'Sign it' : 'Sign and apply it'} isHarmful=${gone.length > 0}
    signs=${{ recovery: before.recovery }} run=${run} onClose=${onClose} isReady=${isChange && fault === undefined}
    command=${commandOf(before, after, { added, gone, cosigners: alsoSign, isRecovery })}>
    <fieldset class="picks"><legend>Admins now; a key that leaves never comes back</legend>
      ${before.keys.map(
        (
          peer,
        ) => html`<label key=${peer} class="check ${gone.includes(peer) ? 'gone' : ''}"><input type="checkbox" checked=${gone.includes(peer)} onChange=${toggle(gone, setGone, peer)} />
          leaves <code title=${peer}>${peer}</code>${peer === own && html` <span class="tag info">the key in this page</span>`}</label>`,
      )}</fieldset>
    <div class="fields">
      <label class="wide">New admins, by their PeerIds <input type="text" value=${text} onInput=${(event: InputEvent) => setText((event.target as HTMLInputElement).value)} placeholder="12D3KooW…" spellcheck=${false} autocomplete="off" autofocus /></label>
      <label>How many must agree to the next change <input type="number" min="1" max=${keys.length} value=${threshold} onInput=${(event: InputEvent) => setMost((event.target as HTMLInputElement).value)} /></label>
      <label>Another recovery key <input type="text" value=${recovery} onInput=${(event: InputEvent) => setRecovery((event.target as HTMLInputElement).value)} placeholder="as before; only it can say so" spellcheck=${false} autocomplete="off" /></label>
    </div>
    ${
      before.threshold > 1 &&
      !isRecovery &&
      html`<fieldset class="picks"><legend>Who signs it too: ${before.threshold - 1} at least</legend>
        ${others.map((peer) => html`<label key=${peer} class="check"><input type="checkbox" checked=${alsoSign.includes(peer)} onChange=${toggle(cosigners, setCosigners, peer)} /> <code title=${peer}>${peer}</code></label>`)}</fieldset>
      <p class="quiet">Until it is through, ${own === undefined ? 'the key that makes it' : html`<code>${shortId(own)}</code>`} should sign nothing else: its records count one after the other.</p>`
    }
    ${isChange && fault !== undefined && html`<p class="notice warn">${fault}</p>`}
  </${Dialog}>`
}

function faultOf(
  before: AdminsDocument,
  { keys, threshold, recovery }: NewAdmins,
  {
    own,
    isRecovery,
    lacking,
    unknown,
  }: { own: string | undefined; isRecovery: boolean; lacking: number; unknown: string | undefined },
): string | undefined {
  if (unknown !== undefined) return `${unknown.slice(0, 60)} is no PeerId.`
  if (keys.length === 0) return 'Somebody has to stay.'
  if (!(threshold >= 1 && threshold <= keys.length))
    return `1 to ${keys.length} must agree, as many as there would be.`
  if (keys.includes(recovery)) return "The recovery key must not be an admin's."
  if (own === undefined) return undefined
  if (recovery !== before.recovery && !isRecovery)
    return 'Only the recovery key names another one: sign with it.'
  if (!isRecovery && !before.keys.includes(own)) return 'The key in this page is no admin.'
  if (lacking > 0)
    return `${before.threshold} must agree to this: say who else signs it, ${lacking} more at least.`
  return undefined
}

async function propose(
  key: SigningKey,
  before: AdminsDocument,
  after: NewAdmins,
  { gone, cosigners }: { gone: readonly string[]; cosigners: readonly string[] },
) {
  const chainOf = (peer: string): Promise<Chain> => getJson<Chain>(`/api/v1/chain/${peer}`)
  const now = await getJson<AdminsDocument>('/api/v1/admins')
  if (now.record !== before.record)
    throw new Error('the admins have changed since this was opened: nothing was done, look at them again')
  const cuts = new Map(await Promise.all(gone.map(async (peer) => [peer, await chainOf(peer)] as const)))
  const payload = payloadOf(key.publicKey, {
    ...{ kind: 'admin-set', body: adminSetBody(before, after, cuts), timeMs: Date.now() },
    chain: await chainOf(key.peer),
    cosigners: cosigners.map(publicKeyOf),
  })
  return signProposal(readPayload(payload), key)
}

function commandOf(
  before: AdminsDocument,
  { threshold, recovery }: NewAdmins,
  {
    added,
    gone,
    cosigners,
    isRecovery,
  }: {
    added: readonly string[]
    gone: readonly string[]
    cosigners: readonly string[]
    isRecovery: boolean
  },
): string {
  const kept = Math.min(before.threshold, before.keys.length - gone.length + added.length)
  return [
    'mirrormesh admin propose',
    ...added.map((peer) => `--add ${peer}`),
    ...gone.map((peer) => `--remove ${peer}`),
    ...(threshold === kept ? [] : [`--threshold ${threshold}`]),
    ...(recovery === before.recovery ? [] : [`--new-recovery ${recovery}`]),
    ...cosigners.map((peer) => `--cosigner ${peer}`),
    ...(isRecovery ? ['--recovery FILE'] : []),
  ].join(' ')
}

function namesIn(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter((each) => each !== ''))]
}

function isPeer(peer: string): boolean {
  try {
    publicKeyOf(peer)
    return true
  } catch {
    return false
  }
}
