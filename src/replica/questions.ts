/**
 * What members ask each other by `/mirrormesh/1/ask`: a dag-cbor map `{q, tree?, ...}`, at most 1 KiB.
 *
 *   q 'status'      the whole announcement of the peer (status-announcement.ts): a delta came, and its base did not
 *   q 'fetches'     what the peer is fetching, as the API's document, JSON
 *   q 'fetch'       of `tree`, in detail: as JSON too
 *   q 'possession'  whether the peer holds `root`, a snapshot of `tree`: the digest under the key `nonce` (32 bytes) of the blocks
 *                   `at` these positions of its block index, 1 to 8, rising strictly (possession.ts)
 *
 * The answer to a possession is a dag-cbor map: {h: digest}, or {} when it is not held there.
 * A question that is not known is refused, so that later versions may ask more.
 */
import { MirrorError } from '../base/errors.ts'
import { type Cid, checkCid } from '../block/cid.ts'
import { decodeCbor, encodeCbor } from '../block/codec.ts'
import { DIGEST_BYTES } from '../block/hash.ts'
import { checkTreeName } from '../dag/tree-name.ts'

export type Question =
  | { readonly ask: 'status' }
  | { readonly ask: 'fetches' }
  | { readonly ask: 'fetch'; readonly tree: string }
  | PossessionQuestion

export interface PossessionQuestion {
  readonly ask: 'possession'
  readonly tree: string
  readonly root: Cid
  readonly nonce: Uint8Array
  readonly at: readonly number[]
}

/** What every version has answered so far to a question of a later one. */
export const UNKNOWN_QUESTION = 'this node does not know that question'

export const NONCE_BYTES = 32
export const MAX_POSITIONS = 8
const MAX_BYTES = 1024
const MAX_POSSESSION_BYTES = 64

export function encodeQuestion(question: Question): Uint8Array {
  if (question.ask === 'possession') {
    const { tree, root, nonce, at } = question
    return encodeCbor({ q: 'possession', tree, root, nonce, at: [...at] })
  }
  return encodeCbor(question.ask === 'fetch' ? { q: 'fetch', tree: question.tree } : { q: question.ask })
}

/** @throws MirrorError `corrupt` | `limit`, `invalid` for a tree's name, `unsupported` for what is not known */
export function decodeQuestion(bytes: Uint8Array): Question {
  const value = decodeCbor(bytes, 'a question', MAX_BYTES)
  const { q, tree, ...rest } = mapOf(value)
  if (q === 'status' || q === 'fetches') return { ask: q }
  if (q === 'fetch') return { ask: 'fetch', tree: checkTreeName(String(tree)) }
  if (q === 'possession') {
    const { root, nonce, at } = rest
    if (!(nonce instanceof Uint8Array) || nonce.length !== NONCE_BYTES) throw corrupt('its nonce is none')
    return {
      ask: 'possession',
      tree: checkTreeName(String(tree)),
      root: checkCid(root),
      nonce,
      at: positionsOf(at),
    }
  }
  throw new MirrorError('unsupported', UNKNOWN_QUESTION)
}

function positionsOf(at: unknown): number[] {
  if (!Array.isArray(at) || at.length === 0 || at.length > MAX_POSITIONS) throw corrupt('it has no positions')
  let last = -1
  for (const position of at) {
    if (!Number.isSafeInteger(position) || position <= last) throw corrupt('a position is none')
    last = position
  }
  return at as number[]
}

/** @param digest undefined when it is not held */
export function encodePossession(digest: Uint8Array | undefined): Uint8Array {
  return encodeCbor(digest === undefined ? {} : { h: digest })
}

/** @throws MirrorError `corrupt` | `limit` */
export function decodePossession(bytes: Uint8Array): Uint8Array | undefined {
  const { h } = mapOf(decodeCbor(bytes, 'an answer', MAX_POSSESSION_BYTES))
  if (h === undefined) return undefined
  if (!(h instanceof Uint8Array) || h.length !== DIGEST_BYTES) throw corrupt('its digest is none')
  return h
}

function mapOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function corrupt(why: string): MirrorError {
  return new MirrorError('corrupt', `not a question or answer: ${why}`)
}
