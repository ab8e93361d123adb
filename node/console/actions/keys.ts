/**
 * With what a change is signed: a key file that the user opened in this page, or the key of this node, where admins have
 * granted it the right. Which of them may, the mesh decides; here is only said what is known, before anything is sent.
 */
import type { AdminsDocument } from '../../api/schema/member-answers.ts'
import { getJson, postJson } from '../api.ts'
import { status } from '../live.ts'
import { encodeCbor, toBase64, type Value } from '../signing/encode.ts'
import type { SigningKey } from '../signing/key-file.ts'
import { signAndSubmit } from '../signing/record.ts'
import { createState } from '../state.ts'

export interface Grant {
  readonly peer: string
  readonly role: string
  readonly trees: readonly string[]
  readonly may: readonly string[]
  readonly state: string
}

export type Signer =
  | {
      readonly by: 'file'
      readonly key: SigningKey
      readonly isAdmin: boolean
      readonly grants: readonly Grant[]
    }
  | { readonly by: 'node' }

/** What this page signs with, until it is closed. */
export const signer = createState<Signer | undefined>(undefined)

export async function useKey(key: SigningKey): Promise<void> {
  const [{ keys }, { grants }] = await Promise.all([
    getJson<AdminsDocument>('/api/v1/admins'),
    getJson<{ grants: Grant[] }>('/api/v1/grants'),
  ])
  const own = grants.filter(({ peer, state }) => peer === key.peer && state === 'active')
  signer.set({ by: 'file', key, isAdmin: keys.includes(key.peer), grants: own })
}

/** What admins have lent to this node. */
export async function findNodeGrants(): Promise<readonly Grant[]> {
  const self = status.get()?.self.peer
  const { grants } = await getJson<{ grants: Grant[] }>('/api/v1/grants')
  return grants.filter(({ peer, state, role }) => peer === self && state === 'active' && role !== 'reader')
}

/**
 * Brings a record into the mesh.
 * @param ifMatch ETag of the list that tells of such records: 412 when it is another by now
 * @throws Problem what the node or the mesh says against it
 */
export async function sign(kind: string, body: Value, ifMatch?: string): Promise<string> {
  const found = signer.get()
  if (found === undefined) throw new Error('choose with what this is signed')
  if (found.by === 'file') {
    // The node would say that it knows nothing of this key: true, and of less help.
    if (!found.isAdmin && found.grants.length === 0) {
      throw new Error(
        'this key has no right in this mesh: it is no admin, and no admin has granted it anything (mirrormesh grant add)',
      )
    }
    return signAndSubmit(found.key, kind, body, ifMatch)
  }
  const answer = await postJson<{ id: string }>('/api/v1/operator/records', {
    kind,
    body: toBase64(encodeCbor(body)),
  })
  return answer.id
}
