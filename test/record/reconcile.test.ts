import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareBytes, hex, utf8 } from '../../src/base/bytes.ts'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { blake3 } from '../../src/block/hash.ts'
import { createReconciler, type Id, type ReconcileOptions } from '../../src/record/reconcile.ts'
import { beginMessage, MAX_RECONCILE_BYTES, readMessage } from '../../src/record/reconcile-message.ts'

function ids(prefix: string, count: number): Id[] {
  return Array.from({ length: count }, (_, i) => blake3.digest(utf8(`${prefix} ${i}`)))
}

function sorted(items: readonly Id[]): Id[] {
  return [...new Map(items.map((id) => [hex(id), id])).values()].sort(compareBytes)
}

interface Outcome {
  need: string[]
  give: string[]
  bytes: number
  rounds: number
  largest: number
}

function run(ours: readonly Id[], theirs: readonly Id[], options: Partial<ReconcileOptions> = {}): Outcome {
  const initiator = createReconciler(ours, { ...options, isInitiator: true })
  const responder = createReconciler(theirs, { ...options, isInitiator: false })
  const outcome: Outcome = { need: [], give: [], bytes: 0, rounds: 0, largest: 0 }
  for (let message: Uint8Array | undefined = initiator.start(); message !== undefined; ) {
    const { reply } = responder.receive(message)
    assert.ok(reply)
    outcome.rounds++
    outcome.bytes += message.length + reply.length
    outcome.largest = Math.max(outcome.largest, message.length, reply.length)
    const step = initiator.receive(reply)
    outcome.need.push(...step.need.map(hex))
    outcome.give.push(...step.give.map(hex))
    assert.equal(step.isDone, step.reply === undefined)
    message = step.reply
  }
  return outcome
}

function difference(a: readonly Id[], b: readonly Id[]): string[] {
  const held = new Set(b.map(hex))
  return a.map(hex).filter((id) => !held.has(id))
}

function check(ours: readonly Id[], theirs: readonly Id[], options: Partial<ReconcileOptions> = {}): Outcome {
  const outcome = run(ours, theirs, options)
  assert.deepEqual(outcome.need.toSorted(), difference(theirs, ours).toSorted())
  assert.deepEqual(outcome.give.toSorted(), difference(ours, theirs).toSorted())
  return outcome
}

test('any two sets are reconciled exactly, each id told once', () => {
  const pool = ids('pool', 600)
  fc.assert(
    fc.property(
      fc.array(fc.nat(599), { maxLength: 600 }),
      fc.array(fc.nat(599), { maxLength: 600 }),
      fc.constantFrom(4096, MAX_RECONCILE_BYTES),
      (a, b, maxMessageBytes) => {
        const ours = sorted(a.map((i) => pool[i]!))
        const theirs = sorted(b.map((i) => pool[i]!))
        check(ours, theirs, { maxMessageBytes })
      },
    ),
    { numRuns: 100 },
  )
})

test('ids that share long prefixes are reconciled as well', () => {
  const make = (i: number): Id => {
    const id = new Uint8Array(32)
    new DataView(id.buffer).setUint32(28, i)
    return id
  }
  const all = Array.from({ length: 1000 }, (_, i) => make(i))
  check(
    all.filter((_, i) => i % 3 !== 0),
    all.filter((_, i) => i % 5 !== 0),
  )
})

test('equal sets cost one round of 40 bytes, whatever their size', () => {
  const same = sorted(ids('same', 20_000))
  const { rounds, bytes } = check(same, same)
  assert.equal(rounds, 1)
  assert.ok(bytes <= 40, `${bytes} bytes`)
})

test('the cost follows the difference and the rounds the logarithm of the set', () => {
  for (const size of [1000, 20_000]) {
    const shared = ids('shared', size)
    for (const each of [1, 10, 100]) {
      const ours = sorted([...shared, ...ids('ours', each)])
      const theirs = sorted([...shared, ...ids('theirs', each)])
      const { rounds, bytes } = check(ours, theirs)
      const levels = Math.ceil(Math.log(size) / Math.log(16))
      assert.ok(rounds <= levels + 1, `${rounds} rounds for ${size} ids`)
      // At each level a difference opens at most one range into 16 of at most 40 bytes; at the end, lists of 32 ids.
      const bound = 2 * each * (levels * 16 * 40 + 32 * 32 + 100) + 200
      assert.ok(bytes <= bound, `${bytes} bytes for ${each} + ${each} of ${size}, over ${bound}`)
    }
  }
})

test('a node with nothing learns all, and one that is asked by nobody-knows-anything gives all', () => {
  const all = sorted(ids('all', 20_000))
  const fresh = check([], all)
  assert.ok(fresh.bytes < all.length * 33 + 20 * 200, `${fresh.bytes}`)
  assert.ok(fresh.rounds <= Math.ceil((all.length * 32) / MAX_RECONCILE_BYTES) + 1, `${fresh.rounds}`)
  const giving = check(all, [])
  assert.equal(giving.rounds, 1)
  assert.ok(giving.bytes < 100)
})

test('no message is over its limit, however much differs', () => {
  const ours = sorted(ids('a', 3000))
  const theirs = sorted(ids('b', 3000))
  const { largest } = check(ours, theirs, { maxMessageBytes: 4096 })
  assert.ok(largest <= 4096, `${largest}`)
})

test('hostile messages end in a MirrorError or an answer, at either side', () => {
  const ours = sorted(ids('ours', 500))
  const theirs = sorted([...ours.slice(0, 400), ...ids('theirs', 100)])
  const seeds: Uint8Array[] = []
  const initiator = createReconciler(ours, { isInitiator: true })
  const responder = createReconciler(theirs, { isInitiator: false })
  for (let message: Uint8Array | undefined = initiator.start(); message !== undefined; ) {
    const reply = responder.receive(message).reply as Uint8Array
    seeds.push(message, reply)
    message = initiator.receive(reply).reply
  }
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc
          .tuple(
            fc.constantFrom(...seeds),
            fc.nat(),
            fc.uint8Array({ minLength: 1, maxLength: 6 }),
            fc.boolean(),
          )
          .map(([seed, at, patch, isCut]) => {
            const bent = seed.slice(0, isCut ? 1 + (at % seed.length) : seed.length)
            const offset = at % bent.length
            bent.set(patch.subarray(0, bent.length - offset), offset)
            return bent
          }),
      ),
      (bytes) => {
        for (const isInitiator of [true, false]) {
          const side = createReconciler(ours, { isInitiator })
          if (isInitiator) side.start()
          try {
            const { reply } = side.receive(bytes)
            assert.ok((reply?.length ?? 0) <= MAX_RECONCILE_BYTES)
          } catch (error) {
            assert.ok(error instanceof MirrorError, String(error))
            assert.notEqual(error.code, 'internal')
          }
        }
      },
    ),
    { numRuns: 2000 },
  )
})

test('a responder that never agrees is given up after a bounded number of rounds', () => {
  const ours = sorted(ids('ours', 200))
  const initiator = createReconciler(ours, { isInitiator: true, maxRounds: 50 })
  let message: Uint8Array | undefined = initiator.start()
  assert.throws(
    () => {
      while (message !== undefined) {
        const { items } = readMessage(message)
        const out = beginMessage(items.length)
        for (const { lower, upper } of items) {
          out.add({ mode: 'fingerprint', lower, upper, fingerprint: new Uint8Array(16) })
        }
        message = initiator.receive(out.finish()).reply
      }
    },
    (error) => isMirrorError(error, 'limit'),
  )
})

test('a responder that invents ids without end is stopped at the limit', () => {
  const initiator = createReconciler([], { isInitiator: true, maxNeed: 100 })
  const theirs = createReconciler(sorted(ids('invented', 101)), { isInitiator: false })
  const reply = theirs.receive(initiator.start()).reply as Uint8Array
  assert.throws(
    () => initiator.receive(reply),
    (error) => isMirrorError(error, 'limit'),
  )
})

test('an answer about what was not asked is refused', () => {
  const ours = sorted(ids('ours', 3))
  for (const forge of [
    () => {
      const out = beginMessage(2)
      return out.finish()
    },
    () => {
      const out = beginMessage(1)
      out.add({
        mode: 'answer',
        lower: new Uint8Array(0),
        upper: null,
        asked: 2,
        isLacked: () => false,
        ids: [],
      })
      return out.finish()
    },
    () => {
      const out = beginMessage(1)
      out.add({
        mode: 'answer',
        lower: new Uint8Array(0),
        upper: null,
        asked: 3,
        isLacked: () => false,
        ids: ours,
      })
      return out.finish()
    },
    () => beginMessage(0).finish(),
  ]) {
    const initiator = createReconciler(ours, { isInitiator: true })
    initiator.start()
    assert.throws(
      () => initiator.receive(forge()),
      (error) => isMirrorError(error, 'corrupt'),
    )
  }
})
