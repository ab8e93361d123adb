/**
 * The signed record: everything mutable in a mesh is one of these.
 *
 *   signed  = dag-cbor { p: payload bytes, s: [[key: 32 bytes, signature: 64 bytes], ...] }
 *   payload = dag-cbor { body, cosigners: [32 bytes], counter: int >= 1, issuer: 32 bytes, kind: text,
 *                        mesh: CID | null, prev: CID | null, timeMs: int, v: 1 }
 *
 * Each signature is Ed25519 over "mirrormesh/record/1" 00 payload. A record's id is the CID (dag-cbor, BLAKE3-256)
 * of its payload. Invariants of every VerifiedRecord:
 * - both layers are canonical dag-cbor, so one meaning has one id;
 * - the signers are exactly the issuer and the cosigners that the payload names, rising by key. So nobody can strip a
 *   cosignature and pass the rest on under the same id;
 * - `mesh` is null only in a genesis, `prev` only at counter 1;
 * - the body may be of a kind that this version does not know: `content.kind` is then 'unknown'.
 *
 * This file decides form and signatures only. Who may say what is decided in state/.
 */
import { compareBytes, concatBytes, equalBytes, utf8 } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import { type Cid, cidOf, DAG_CBOR } from '../block/cid.ts'
import { decodeCbor, encodeCbor } from '../block/codec.ts'
import { type Content, decodeContent } from './content.ts'
import {
  asBytes,
  checkRising,
  type Fields,
  readBytes,
  readCidOrNull,
  readFields,
  readInteger,
  readList,
  readSegment,
  wrong,
} from './fields.ts'
import { KEY_BYTES, type PeerId, type PublicKey, peerIdOf, SIGNATURE_BYTES, verifyBytes } from './key.ts'

export const RECORD_VERSION = 1
export const MAX_RECORD_BYTES = 64 * 1024
export const MAX_SIGNATURES = 32

export interface VerifiedRecord {
  readonly id: Cid
  /** The signed form, as it is stored and sent. */
  readonly bytes: Uint8Array
  readonly kind: string
  /** Null exactly in a genesis, whose own id names the mesh. */
  readonly mesh: Cid | null
  readonly issuer: PublicKey
  readonly issuerPeer: PeerId
  readonly cosigners: readonly PublicKey[]
  readonly counter: number
  readonly prev: Cid | null
  /** The issuer's wall clock: for people, and for the expiry of an invite or a grant. Never decides between records. */
  readonly timeMs: number
  readonly content: Content
}

/** One signature of a record. */
export interface RecordSignature {
  readonly key: PublicKey
  readonly signature: Uint8Array
}

const DOMAIN = utf8('mirrormesh/record/1\0')
const PAYLOAD_FIELDS = ['body', 'cosigners', 'counter', 'issuer', 'kind', 'mesh', 'prev', 'timeMs', 'v']

/** What a key signs for a payload. */
export function signedMessage(payload: Uint8Array): Uint8Array {
  return concatBytes([DOMAIN, payload])
}

/**
 * Decodes a record from anywhere and checks form and signatures.
 * @throws MirrorError `limit` when too large, `unsupported` when of a later version, `corrupt` for all else
 */
export function decodeSigned(bytes: Uint8Array): VerifiedRecord {
  const { payload, signatures } = readEnvelope(bytes)
  const record = readPayload(bytes, payload)
  checkSigners(record, signatures)
  const message = signedMessage(payload)
  for (const { key, signature } of signatures) {
    if (!verifyBytes(key, message, signature)) {
      throw new MirrorError('corrupt', `a record's signature by ${peerIdOf(key)} is wrong`, {
        facts: { issuer: record.issuerPeer, kind: record.kind, counter: record.counter },
      })
    }
  }
  return record
}

/**
 * Decodes a record that this node has verified before and kept in its own log: everything is checked but the
 * signatures, which are two thirds of the time (docs/formats.md, Records).
 */
export function decodeStored(bytes: Uint8Array): VerifiedRecord {
  const { payload, signatures } = readEnvelope(bytes)
  const record = readPayload(bytes, payload)
  checkSigners(record, signatures)
  return record
}

/**
 * A payload that nobody has signed yet, for those who are to sign it: what they see is what every receiver will read.
 * @throws MirrorError as `decodeSigned`
 */
export function decodePayload(payload: Uint8Array): Omit<VerifiedRecord, 'bytes'> {
  const { bytes: _bytes, ...rest } = readPayload(new Uint8Array(), payload)
  return rest
}

/** The id that `bytes` claim, unverified: tells a duplicate before the cost of its signatures. */
export function peekRecordId(bytes: Uint8Array): Cid {
  return cidOf(DAG_CBOR, readEnvelope(bytes).payload)
}

/** The signed form. Signatures may come in any order; `decodeSigned` is what checks them. */
export function encodeSigned(payload: Uint8Array, signatures: readonly RecordSignature[]): Uint8Array {
  const sorted = signatures.toSorted((a, b) => compareBytes(a.key, b.key))
  return encodeCbor({ p: payload, s: sorted.map(({ key, signature }) => [key, signature]) })
}

function readEnvelope(bytes: Uint8Array): { payload: Uint8Array; signatures: RecordSignature[] } {
  const fields = readFields(decodeCanonical(bytes, 'a record'), 'a record', ['p', 's'])
  if (!(fields.p instanceof Uint8Array)) throw wrong('p', 'is not bytes')
  const signatures = readList(fields, 's', { min: 1, max: MAX_SIGNATURES }, (pair) => {
    if (!Array.isArray(pair) || pair.length !== 2) throw wrong('s', 'holds what is not a pair')
    return {
      key: asBytes(pair[0], "a signer's key", KEY_BYTES),
      signature: asBytes(pair[1], 'a signature', SIGNATURE_BYTES),
    }
  })
  return { payload: fields.p, signatures }
}

function readPayload(bytes: Uint8Array, payload: Uint8Array): VerifiedRecord {
  const value = decodeCanonical(payload, "a record's payload")
  checkVersion(value)
  const fields = readFields(value, "a record's payload", PAYLOAD_FIELDS)
  const issuer = readBytes(fields, 'issuer', KEY_BYTES)
  const kind = readSegment(fields, 'kind')
  const record = {
    id: cidOf(DAG_CBOR, payload),
    bytes,
    kind,
    mesh: readCidOrNull(fields, 'mesh'),
    issuer,
    issuerPeer: peerIdOf(issuer),
    cosigners: readCosigners(fields, issuer),
    counter: readInteger(fields, 'counter', { min: 1 }),
    prev: readCidOrNull(fields, 'prev'),
    timeMs: readInteger(fields, 'timeMs'),
    content: decodeContent(kind, fields.body),
  }
  if ((record.mesh === null) !== (kind === 'genesis'))
    throw wrong('mesh', 'must be null exactly in a genesis')
  if ((record.prev === null) !== (record.counter === 1))
    throw wrong('prev', 'must be null exactly at counter 1')
  return record
}

function readCosigners(fields: Fields, issuer: PublicKey): PublicKey[] {
  const cosigners = readList(fields, 'cosigners', { max: MAX_SIGNATURES - 1 }, (key) =>
    asBytes(key, 'a cosigner', KEY_BYTES),
  )
  checkRising(cosigners, compareBytes, 'cosigners')
  if (cosigners.some((key) => equalBytes(key, issuer))) throw wrong('cosigners', 'name the issuer')
  return cosigners
}

function checkSigners(record: VerifiedRecord, signatures: readonly RecordSignature[]): void {
  const expected = [record.issuer, ...record.cosigners].toSorted(compareBytes)
  if (
    signatures.length !== expected.length ||
    signatures.some(({ key }, i) => !equalBytes(key, expected[i]!))
  ) {
    throw wrong('s', 'is not signed by exactly the issuer and the cosigners, in the order of their keys')
  }
}

/** Every record of a later envelope is refused alike: kinds can be added within a version, the envelope cannot change. */
function checkVersion(value: unknown): void {
  const version = (value as { v?: unknown } | null)?.v
  if (typeof version === 'number' && version > RECORD_VERSION) {
    throw new MirrorError(
      'unsupported',
      `a record of version ${version}; this node reads ${RECORD_VERSION}`,
      {
        hint: 'Upgrade this node: others of the mesh run a later release.',
      },
    )
  }
  if (version !== RECORD_VERSION) throw wrong('v', `is not ${RECORD_VERSION}`)
}

/** Decoders accept unsorted maps; one meaning must have one id, so the bytes must be what we would have written. */
function decodeCanonical(bytes: Uint8Array, what: string): unknown {
  const value = decodeCbor(bytes, what, MAX_RECORD_BYTES)
  if (!equalBytes(encodeCbor(value), bytes)) throw wrong(what, 'is not canonical dag-cbor')
  return value
}
