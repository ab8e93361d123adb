/**
 * A change of the admins that several must sign, as the file that goes from one to the next: the same file as the
 * command line writes and reads. Nothing in it is secret. What is shown of it is decoded here, from the bytes that are
 * signed.
 */
import { decodeCbor } from './decode.ts'
import {
  compareBytes,
  encodeCbor,
  fromBase64,
  Link,
  linkText,
  peerOf,
  publicKeyOf,
  toBase64,
  type Value,
} from './encode.ts'
import type { SigningKey } from './key-file.ts'
import { signedMessage } from './record.ts'

export interface Proposal {
  readonly payload: Uint8Array<ArrayBuffer>
  /** Ids of the mesh that it is for and of the set that it follows. */
  readonly mesh: string
  readonly previous: string
  readonly timeMs: number
  /** PeerIds: of who made it, and of all who are to sign. */
  readonly issuer: string
  readonly signers: readonly string[]
  readonly keys: readonly string[]
  readonly threshold: number
  readonly recovery: string
  readonly signatures: readonly { readonly peer: string; readonly signature: Uint8Array<ArrayBuffer> }[]
}

export const MAX_PROPOSAL_BYTES = 200_000

type Fields = { readonly [key: string]: Value }

/** Of a payload that nobody has signed yet. @throws Error in words for the user */
export function readPayload(payload: Uint8Array<ArrayBuffer>): Proposal {
  try {
    const fields = decodeCbor(payload) as Fields
    const body = fields.body as Fields
    const admins = body.admins as Fields
    const bytes = (value: Value | undefined): Uint8Array => {
      if (value instanceof Uint8Array && value.length === 32) return value
      throw new RangeError('a key is not one')
    }
    const link = (value: Value | undefined): string => {
      if (value instanceof Link) return linkText(value)
      throw new RangeError('an id is not one')
    }
    const peers = (list: Value | undefined): string[] =>
      (list as readonly Value[]).map((key) => peerOf(bytes(key)))
    if (fields.v !== 1 || fields.kind !== 'admin-set')
      throw new RangeError('it is no change of the admins, or one of a later version')
    if (typeof admins.threshold !== 'number' || typeof fields.timeMs !== 'number')
      throw new RangeError('a number is not one')
    const issuer = peerOf(bytes(fields.issuer))
    return {
      ...{ payload, issuer, threshold: admins.threshold, timeMs: fields.timeMs, signatures: [] },
      mesh: link(fields.mesh),
      previous: link(body.previous),
      signers: [issuer, ...peers(fields.cosigners)],
      keys: peers(admins.keys),
      recovery: peerOf(bytes(body.recovery)),
    }
  } catch (error) {
    throw new Error(
      `this is no proposal: ${error instanceof RangeError ? error.message : 'it lacks what one has'}`,
    )
  }
}

/** @throws Error in words for the user, also when it holds a signature that is wrong */
export async function readProposal(text: string): Promise<Proposal> {
  let file: { mirrormeshProposal?: unknown; payload?: unknown; signatures?: unknown } | null
  try {
    file = JSON.parse(text) as typeof file
  } catch {
    throw new Error('this is no proposal: it is not JSON')
  }
  if (file?.mirrormeshProposal !== 1 || typeof file.payload !== 'string' || !Array.isArray(file.signatures))
    throw new Error('this is no proposal, or one of a later version')
  const proposal = readPayload(decodeBase64(file.payload))
  const signatures = (file.signatures as { peer?: unknown; signature?: unknown }[]).map((each) => ({
    peer: String(each?.peer),
    signature: decodeBase64(String(each?.signature)),
  }))
  const message = signedMessage(proposal.payload)
  for (const { peer, signature } of signatures) {
    if (!proposal.signers.includes(peer)) throw new Error(`${peer} has signed it, and is not asked to`)
    const key = await crypto.subtle.importKey('raw', publicKeyOf(peer), 'Ed25519', false, ['verify'])
    if (!(await crypto.subtle.verify('Ed25519', key, signature, message)))
      throw new Error(`the signature by ${peer} is wrong: somebody has changed this proposal`)
  }
  return { ...proposal, signatures }
}

export function proposalText({ payload, signatures }: Proposal): string {
  const file = {
    mirrormeshProposal: 1,
    payload: toBase64(payload),
    signatures: signatures.map(({ peer, signature }) => ({ peer, signature: toBase64(signature) })),
  }
  return `${JSON.stringify(file, null, 2)}\n`
}

export function missingSigners({ signers, signatures }: Proposal): string[] {
  return signers.filter((peer) => !signatures.some((each) => each.peer === peer))
}

/** @throws Error when the key is not one of those that it names */
export async function signProposal(proposal: Proposal, key: SigningKey): Promise<Proposal> {
  if (!proposal.signers.includes(key.peer))
    throw new Error(`${key.peer} is not among those who are to sign this: ${proposal.signers.join(', ')}`)
  const signature = await key.sign(signedMessage(proposal.payload))
  const others = proposal.signatures.filter(({ peer }) => peer !== key.peer)
  return { ...proposal, signatures: [...others, { peer: key.peer, signature }] }
}

/** The record for the mesh, once all have signed. */
export function finishProposal({ payload, signatures }: Proposal): Uint8Array<ArrayBuffer> {
  const sorted = signatures
    .map(({ peer, signature }) => [publicKeyOf(peer), signature] as const)
    .toSorted(([a], [b]) => compareBytes(a, b))
  return encodeCbor({ p: payload, s: sorted.map(([key, signature]) => [key, signature]) })
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  try {
    return fromBase64(text)
  } catch {
    throw new Error('this is no proposal: it holds what is not base64')
  }
}
