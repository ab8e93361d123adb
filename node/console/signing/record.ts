/**
 * A record, signed in the page: the same bytes as the command line would make of the same body (test/console holds the
 * one against the other). Which key signed what last is asked of the node, so a record always goes on from there.
 */
import { getJson, Problem, postJson } from '../api.ts'
import { compareBytes, encodeCbor, joined, Link, linkOf, toBase64, type Value } from './encode.ts'
import type { SigningKey } from './key-file.ts'

export interface Chain {
  readonly mesh: string
  readonly counter: number
  readonly prev: string | null
}

const DOMAIN = new TextEncoder().encode('mirrormesh/record/1\0')
/** How often a record is signed anew because another use of the same key came between. */
const MAX_TRIES = 4

export interface Draft {
  readonly kind: string
  readonly body: Value
  readonly chain: Chain
  readonly timeMs: number
  /** Public keys of those who sign it too. */
  readonly cosigners?: readonly Uint8Array[]
}

export function payloadOf(
  issuer: Uint8Array,
  { kind, body, chain, timeMs, cosigners = [] }: Draft,
): Uint8Array<ArrayBuffer> {
  return encodeCbor({
    body,
    cosigners: cosigners.toSorted(compareBytes),
    counter: chain.prev === null ? 1 : chain.counter + 1,
    issuer,
    kind,
    mesh: linkOf(chain.mesh),
    prev: chain.prev === null ? null : linkOf(chain.prev),
    timeMs,
    v: 1,
  })
}

/** What a key signs for a payload. */
export function signedMessage(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  return joined([DOMAIN, payload])
}

export async function signRecord(key: SigningKey, draft: Draft): Promise<Uint8Array> {
  const payload = payloadOf(key.publicKey, draft)
  const signature = await key.sign(signedMessage(payload))
  return encodeCbor({ p: payload, s: [[key.publicKey, signature]] })
}

/** Signs and brings it into the mesh. Returns the record's id. */
export async function signAndSubmit(
  key: SigningKey,
  kind: string,
  body: Value,
  ifMatch?: string,
): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const chain = await getJson<Chain>(`/api/v1/chain/${key.peer}`)
    const record = toBase64(await signRecord(key, { kind, body, chain, timeMs: Date.now() }))
    try {
      return (await postJson<{ id: string }>('/api/v1/records', { record }, undefined, ifMatch)).id
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 409 || attempt === MAX_TRIES) throw error
    }
  }
}

/** The version after the highest that any record of this name has. */
export async function nextVersion(kind: string, name: string, tree?: string): Promise<number> {
  const query = new URLSearchParams({ kind, name, ...(tree === undefined ? {} : { tree }) })
  return (await getJson<{ version: number }>(`/api/v1/next-version?${query}`)).version
}

export { Link, linkOf, type Value }
