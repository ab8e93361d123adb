/**
 * The proofs that this node gives (proof.ts), kept until a record comes: whoever asks again, without a token even, has none made.
 * Only references to records that the ledger has in memory anyway are kept, so many of them at most.
 */
import { asMirrorError, type MirrorError } from '../../base/errors.ts'
import type { VerifiedRecord } from '../../record/record.ts'
import type { Ledger } from './ledger.ts'
import { proofOf } from './proof.ts'

export interface Proof {
  readonly records: readonly VerifiedRecord[]
  /** Of the records. */
  readonly bytes: number
}

export interface Proofs {
  /** Undefined for a tree that there is not. @throws MirrorError `limit` */
  of(tree: string): Proof | undefined
  stop(): void
}

type Made = Proof | { readonly error: MirrorError }

export function createProofs(
  { ledger }: { readonly ledger: Pick<Ledger, 'state' | 'record' | 'evidence' | 'subscribe'> },
  {
    maxRecords = 1024 * 1024,
    maxProofs = 4096,
  }: { readonly maxRecords?: number; readonly maxProofs?: number } = {},
): Proofs {
  /** Least recently asked for first. */
  const made = new Map<string, Made>()
  let kept = 0

  const stop = ledger.subscribe(() => {
    made.clear()
    kept = 0
  })

  function drop(tree: string): void {
    kept -= sizeOf(made.get(tree))
    made.delete(tree)
  }

  function keep(tree: string, proof: Made): void {
    made.set(tree, proof)
    kept += sizeOf(proof)
    // But for the last: the largest are those that cost the most.
    while (made.size > 1 && (kept > maxRecords || made.size > maxProofs)) drop(made.keys().next().value!)
  }

  function make(tree: string): Made | undefined {
    const found = ledger.state().trees.get(tree)
    if (found === undefined) return undefined
    try {
      const records = proofOf(ledger, found)
      return { records, bytes: records.reduce((sum, { bytes }) => sum + bytes.length, 0) }
    } catch (error) {
      return { error: asMirrorError(error, `prove the heads of ${tree}`) }
    }
  }

  return {
    of(tree) {
      const proof = made.get(tree) ?? make(tree)
      if (proof === undefined) return undefined
      drop(tree)
      keep(tree, proof)
      if ('error' in proof) throw proof.error
      return proof
    },
    stop,
  }
}

function sizeOf(proof: Made | undefined): number {
  return proof !== undefined && 'records' in proof ? proof.records.length : 0
}
