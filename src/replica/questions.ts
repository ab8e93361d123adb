/**
 * What members ask each other by `/mirrormesh/1/ask`: a dag-cbor map `{q, tree?}`, at most 1 KiB.
 *
 *   q 'status'   the whole announcement of the peer (status-announcement.ts): a delta came, and its base did not
 *   q 'fetches'  what the peer is fetching, as the API's document, JSON
 *   q 'fetch'    of `tree`, in detail: as JSON too
 *
 * A question that is not known is refused, so that later versions may ask more.
 */
import { MirrorError } from '../base/errors.ts'
import { decodeCbor, encodeCbor } from '../block/codec.ts'
import { checkTreeName } from '../dag/tree-name.ts'

export type Question =
  | { readonly ask: 'status' }
  | { readonly ask: 'fetches' }
  | { readonly ask: 'fetch'; readonly tree: string }

const MAX_BYTES = 1024

export function encodeQuestion(question: Question): Uint8Array {
  return encodeCbor(question.ask === 'fetch' ? { q: 'fetch', tree: question.tree } : { q: question.ask })
}

/** @throws MirrorError `corrupt` | `limit`, `invalid` for a tree's name, `unsupported` for what is not known */
export function decodeQuestion(bytes: Uint8Array): Question {
  const value = decodeCbor(bytes, 'a question', MAX_BYTES)
  const { q, tree } = (typeof value === 'object' && value !== null ? value : {}) as {
    q?: unknown
    tree?: unknown
  }
  if (q === 'status' || q === 'fetches') return { ask: q }
  if (q === 'fetch') return { ask: 'fetch', tree: checkTreeName(String(tree)) }
  throw new MirrorError('unsupported', 'this node does not know that question')
}
