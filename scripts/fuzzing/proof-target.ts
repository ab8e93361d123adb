/**
 * Proofs as a gateway might send them to a machine outside of the mesh. A body that is taken is its frames and nothing else, and
 * whatever records are in it, what they say is said without a failure.
 */
import assert from 'node:assert/strict'
import { framesIn } from '../../node/get/proof-frames.ts'
import { createMeshStateBuilder } from '../../src/record/mesh-state-builder.ts'
import { decodeSigned } from '../../src/record/record.ts'
import { proofOf } from '../../src/replica/records/proof.ts'
import { mutateBytes, type Random } from './mutate.ts'
import { attempt, goldenRecords, mutated, type Trial } from './target.ts'

const GOLDEN = goldenRecords()

export function tryProof(random: Random): Trial {
  const records = Array.from({ length: random.int(6) }, () => {
    const record = random.pick(GOLDEN)
    return random.int(4) === 0 ? mutated(random, record) : record
  })
  const sound = framed(records)
  const input = random.int(2) === 0 ? mutateBytes(random, sound) : sound
  const frames = attempt(() => framesIn(input, 'http://gateway.example'))
  if (frames !== undefined) {
    assert.deepEqual(Buffer.from(framed(frames)), Buffer.from(input))
    sayAll(frames)
  }
  return { taken: frames !== undefined, input }
}

function framed(records: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    records.flatMap((record) => {
      const head = Buffer.alloc(4)
      head.writeUInt32BE(record.length)
      return [head, record]
    }),
  )
}

function sayAll(frames: readonly Uint8Array[]): void {
  const records = frames.flatMap((frame) => attempt(() => decodeSigned(frame)) ?? [])
  const genesis = records.find(({ mesh }) => mesh === null)
  if (genesis === undefined) return
  const builder = createMeshStateBuilder(genesis.id)
  builder.addAll(records)
  for (const tree of builder.state.trees.values()) {
    const proof = proofOf({ record: builder.get, evidence: builder.evidence }, tree)
    assert.ok(proof.length <= records.length)
  }
}
