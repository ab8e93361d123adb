/**
 * Building records: draft at a node (which knows the issuer's chain), sign where the key is, submit anywhere.
 * `draftRecord` checks the body by the same decoder that every receiver uses, so nothing can be signed that the mesh
 * would not understand.
 */
import { compareBytes } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import { type Cid, cidOf, DAG_CBOR } from '../block/cid.ts'
import { decodeCbor, encodeCbor } from '../block/codec.ts'
import { type Bodies, decodeBody, type Kind } from './content.ts'
import { type KeyPair, type PublicKey, signBytes } from './key.ts'
import {
  encodeSigned,
  MAX_RECORD_BYTES,
  RECORD_VERSION,
  type RecordSignature,
  signedMessage,
} from './record.ts'

/** The last record of an issuer's chain. */
export interface ChainTip {
  readonly counter: number
  readonly id: Cid
}

export interface Draft {
  readonly id: Cid
  readonly kind: string
  readonly issuer: PublicKey
  readonly cosigners: readonly PublicKey[]
  readonly payload: Uint8Array
}

export interface DraftRequest<K extends Kind> {
  readonly kind: K
  readonly body: Bodies[K]
  /** Null for a genesis. */
  readonly mesh: Cid | null
  readonly issuer: PublicKey
  /** The issuer's last record; undefined when this is its first. */
  readonly tip: ChainTip | undefined
  readonly timeMs: number
  readonly cosigners?: readonly PublicKey[]
}

/** @throws MirrorError `corrupt` naming the field when the body is not valid, `limit` when it is too large */
export function draftRecord<K extends Kind>(request: DraftRequest<K>): Draft {
  const body = encodeCbor(request.body)
  decodeBody(request.kind, decodeCbor(body, request.kind))
  return draftOpaque({ ...request, body: request.body })
}

/** As `draftRecord`, for a kind that this version does not know: its body is not checked. */
export function draftOpaque(request: {
  readonly kind: string
  readonly body: unknown
  readonly mesh: Cid | null
  readonly issuer: PublicKey
  readonly tip: ChainTip | undefined
  readonly timeMs: number
  readonly cosigners?: readonly PublicKey[]
}): Draft {
  const { kind, body, mesh, issuer, tip, timeMs } = request
  const cosigners = (request.cosigners ?? []).toSorted(compareBytes)
  const payload = encodeCbor({
    body,
    cosigners,
    counter: tip === undefined ? 1 : tip.counter + 1,
    issuer,
    kind,
    mesh,
    prev: tip === undefined ? null : tip.id,
    timeMs,
    v: RECORD_VERSION,
  })
  // Room for the signatures: 32 of them with their framing.
  if (payload.length > MAX_RECORD_BYTES - 4096) {
    throw new MirrorError('limit', `a record of ${payload.length} bytes is too large`, {
      facts: { kind, maxBytes: MAX_RECORD_BYTES - 4096 },
    })
  }
  return { id: cidOf(DAG_CBOR, payload), kind, issuer, cosigners, payload }
}

export function signDraft(draft: Draft, key: KeyPair): RecordSignature {
  return { key: key.publicKey, signature: signBytes(key, signedMessage(draft.payload)) }
}

/** The signed bytes, when all the keys are at hand: the issuer's first, then the cosigners'. */
export function signRecord(draft: Draft, ...keys: readonly KeyPair[]): Uint8Array {
  return encodeSigned(
    draft.payload,
    keys.map((key) => signDraft(draft, key)),
  )
}
