/**
 * A record that several keys must sign, as a file that goes from one holder to the next: the payload and the signatures
 * so far. Nothing in it is secret. What a holder is shown is decoded from the payload that they sign.
 */
import { equalBytes } from '../src/base/bytes.ts'
import { MirrorError } from '../src/base/errors.ts'
import { type KeyPair, peerIdOf, publicKeyOf, signBytes, verifyBytes } from '../src/record/key.ts'
import {
  decodePayload,
  encodeSigned,
  type RecordSignature,
  signedMessage,
  type VerifiedRecord,
} from '../src/record/record.ts'

export interface Proposal {
  readonly payload: Uint8Array
  readonly record: Omit<VerifiedRecord, 'bytes'>
  readonly signatures: readonly RecordSignature[]
}

interface ProposalFile {
  readonly mirrormeshProposal: 1
  /** base64 */
  readonly payload: string
  readonly signatures: readonly { readonly peer: string; readonly signature: string }[]
}

/** Of a draft that nobody has signed. */
export function createProposal(payload: Uint8Array): Proposal {
  return { payload, record: decodePayload(payload), signatures: [] }
}

/** @throws MirrorError `corrupt` when it is no such file, or holds a signature that is wrong */
export function decodeProposal(text: string, where: string): Proposal {
  const broken = (why: string): MirrorError => new MirrorError('corrupt', `${where} is no proposal: ${why}`)
  let file: Partial<ProposalFile>
  try {
    file = JSON.parse(text) as Partial<ProposalFile>
  } catch (error) {
    throw new MirrorError('corrupt', `${where} is no proposal: it is not JSON`, { cause: error })
  }
  if (file?.mirrormeshProposal !== 1 || typeof file.payload !== 'string' || !Array.isArray(file.signatures))
    throw broken('it lacks what this version looks for')
  const proposal = createProposal(new Uint8Array(Buffer.from(file.payload, 'base64')))
  const signatures = (file.signatures as unknown[]).map((each) => {
    const { peer, signature } = (each ?? {}) as { peer?: unknown; signature?: unknown }
    if (typeof peer !== 'string' || typeof signature !== 'string') throw broken('a signature is malformed')
    return { key: publicKeyOf(peer), signature: new Uint8Array(Buffer.from(signature, 'base64')) }
  })
  const message = signedMessage(proposal.payload)
  for (const { key, signature } of signatures) {
    if (!verifyBytes(key, message, signature)) throw broken(`the signature by ${peerIdOf(key)} is wrong`)
  }
  return { ...proposal, signatures }
}

export function encodeProposal({ payload, signatures }: Proposal): string {
  const file: ProposalFile = {
    mirrormeshProposal: 1,
    payload: Buffer.from(payload).toString('base64'),
    signatures: signatures.map(({ key, signature }) => ({
      peer: peerIdOf(key),
      signature: Buffer.from(signature).toString('base64'),
    })),
  }
  return `${JSON.stringify(file, null, 2)}\n`
}

/** PeerIds of those who are to sign and have not. */
export function missingSigners({ record, signatures }: Proposal): string[] {
  return [record.issuer, ...record.cosigners]
    .filter((key) => !signatures.some((each) => equalBytes(each.key, key)))
    .map((key) => peerIdOf(key))
}

/** @throws MirrorError `refused` when the key is not one of those that the record names */
export function signProposal(proposal: Proposal, key: KeyPair): Proposal {
  const { record, payload, signatures } = proposal
  if (![record.issuer, ...record.cosigners].some((each) => equalBytes(each, key.publicKey))) {
    throw new MirrorError('refused', `${key.peer} is not among those who are to sign this`, {
      hint: `It is for ${[record.issuer, ...record.cosigners].map((each) => peerIdOf(each)).join(', ')}. Name a key with --key FILE.`,
    })
  }
  const others = signatures.filter((each) => !equalBytes(each.key, key.publicKey))
  const signature = signBytes(key, signedMessage(payload))
  return { ...proposal, signatures: [...others, { key: key.publicKey, signature }] }
}

/** The record for the mesh. @throws MirrorError `refused` while signatures are missing */
export function finishProposal(proposal: Proposal): Uint8Array {
  const missing = missingSigners(proposal)
  if (missing.length > 0) {
    throw new MirrorError('refused', `it is not signed yet by ${missing.join(', ')}`, {
      hint: 'Each of them signs it with: mirrormesh admin sign FILE',
    })
  }
  return encodeSigned(proposal.payload, proposal.signatures)
}
