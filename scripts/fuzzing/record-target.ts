/**
 * Records of a mesh: as anybody may send them, and as members and admins who mean harm may sign them. A record that is taken
 * is written as it came; and whatever is signed, the state is the same in any order, and no signer makes it fail.
 */
import assert from 'node:assert/strict'
import { compareBytes } from '../../src/base/bytes.ts'
import { decodeCbor, encodeCbor } from '../../src/block/codec.ts'
import { parseInviteToken } from '../../src/record/invite-token.ts'
import { createMeshStateBuilder } from '../../src/record/mesh-state-builder.ts'
import { createReconciler } from '../../src/record/reconcile.ts'
import { decodeSigned, type VerifiedRecord } from '../../src/record/record.ts'
import { decodeAnnouncement, encodeAnnouncement } from '../../src/replica/status/status-announcement.ts'
import { admin, createAuthor, keyOf } from '../../test/record/author.ts'
import { plainState } from '../../test/record/plain-state.ts'
import { mutateBytes, mutateNode, type Random } from './mutate.ts'
import { attempt, goldenRecords, mutated, TEXT_REFUSALS, type Trial } from './target.ts'

const GOLDEN = goldenRecords()
const BODIES = GOLDEN.flatMap((bytes) => {
  const { p } = decodeCbor(bytes, 'a golden record') as { p: Uint8Array }
  const { kind, body } = decodeCbor(p, 'its payload') as { kind: string; body: unknown }
  return kind === 'genesis' ? [] : [{ kind, body: encodeCbor(body) }]
})
const SIGNERS = [admin, ...['golden node', 'golden publisher', 'golden guest', 'stranger'].map(keyOf)]

export function tryRecord(random: Random): Trial {
  switch (random.int(5)) {
    case 0:
      return tryEnvelope(random)
    case 1:
      return tryReconcile(random)
    case 2:
      return tryAnnouncement(random)
    case 3:
      return tryToken(random)
    default:
      return tryState(random)
  }
}

function tryEnvelope(random: Random): Trial {
  const input = mutated(random, random.pick(GOLDEN))
  const record = attempt(() => decodeSigned(input))
  if (record !== undefined) assert.deepEqual(record.bytes, input)
  return { taken: record !== undefined, input }
}

/** A few signed records with bodies that the golden ones nearly are, in two orders. */
function tryState(random: Random): Trial {
  const author = createAuthor()
  let last = new Uint8Array()
  for (let left = 2 + random.int(12); left > 0; left--) {
    const { kind, body } = random.pick(BODIES)
    last = body as Uint8Array<ArrayBuffer>
    for (let changes = random.int(3); changes > 0; changes--)
      last = mutateNode(random, last) as Uint8Array<ArrayBuffer>
    const value = decodeCbor(last, 'a body')
    attempt(() => author.sayOpaque(random.pick(SIGNERS), kind, value))
  }
  const inOrder = createMeshStateBuilder(author.mesh)
  inOrder.addAll(author.records)
  const others = createMeshStateBuilder(author.mesh)
  for (const record of shuffled(random, [...author.records, ...author.records.slice(0, 3)]))
    others.add(record)
  assert.deepEqual(plainState(others.state), plainState(inOrder.state))
  return { taken: inOrder.state.alarms.length === 0, input: last }
}

function shuffled(random: Random, records: VerifiedRecord[]): VerifiedRecord[] {
  for (let at = records.length - 1; at > 0; at--) {
    const other = random.int(at + 1)
    ;[records[at], records[other]] = [records[other]!, records[at]!]
  }
  return records
}

function tryReconcile(random: Random): Trial {
  const some = (count: number): Uint8Array[] =>
    Array.from({ length: count }, () => Uint8Array.from({ length: 32 }, () => random.int(256))).toSorted(
      compareBytes,
    )
  const ours = some(random.int(80))
  const sides = [
    createReconciler(ours, { isInitiator: true }),
    createReconciler(some(random.int(80)), { isInitiator: false }),
  ]
  let message: Uint8Array | undefined = sides[0]!.start()
  let input = message
  for (let round = 0; message !== undefined && round < 8; round++) {
    input = random.int(3) === 0 ? mutateBytes(random, message) : message
    const side = sides[(round + 1) % 2]!
    const step = attempt(() => side.receive(input))
    if (step === undefined) return { taken: false, input }
    for (const id of [...step.need, ...step.give]) assert.equal(id.length, 32)
    message = step.reply
  }
  return { taken: true, input }
}

function tryAnnouncement(random: Random): Trial {
  const seed = encodeAnnouncement({
    timeMs: 1_750_000_000_000,
    version: '1.2.3',
    addresses: ['/ip4/192.0.2.1/tcp/4001'],
    trees: Array.from({ length: random.int(4) }, (_, i) => ({
      tree: `builds/x${i}`,
      completeSequence: random.pick([null, 7]),
      completeSnapshot: null,
      isFetching: random.int(2) === 0,
      fetchingSnapshot: null,
      missingBytes: random.pick([null, 1000]),
      reason: random.pick(['', 'no space']),
      checkouts: [{ path: '/srv/x', sequence: 7 }],
      alsoComplete: [6, 5],
    })),
    ...{ bytesSent: 1, bytesReceived: 2 },
    requests: Array.from({ length: random.int(3) }, (_, i) => ({
      peer: keyOf(`newcomer ${i}`).peer,
      code: '1234-5678',
      site: random.pick([null, 'lab']),
      region: 'eu',
      address: '192.0.2.9',
      sinceMs: 1_750_000_000_000,
    })),
    suspects: random.pick([undefined, [keyOf('lost').peer]]),
    contradicts: true,
    pauses: random.pick([undefined, [{ tree: 'builds/x0', by: 'ada', sinceMs: 1_750_000_000_000 }]]),
  } as Parameters<typeof encodeAnnouncement>[0])
  const input = mutated(random, seed)
  const found = attempt(() => decodeAnnouncement(input))
  if (found !== undefined) attempt(() => encodeAnnouncement(found))
  return { taken: found !== undefined, input }
}

function tryToken(random: Random): Trial {
  const text = 'mm1.'.concat(
    Buffer.from(mutateBytes(random, GOLDEN[0]!.subarray(0, 120))).toString('base64url'),
  )
  const input = Uint8Array.from(
    Buffer.from(random.int(2) === 0 ? text : text.slice(0, random.int(text.length))),
  )
  const token = attempt(() => parseInviteToken(Buffer.from(input).toString('latin1')), TEXT_REFUSALS)
  return { taken: token !== undefined, input }
}
