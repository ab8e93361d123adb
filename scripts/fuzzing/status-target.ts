/** What sites say of themselves and ask each other: whatever comes is refused, or is the same when it is said again. */
import assert from 'node:assert/strict'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import {
  decodePossession,
  decodeQuestion,
  encodePossession,
  encodeQuestion,
  NONCE_BYTES,
} from '../../src/replica/questions.ts'
import type { AnnouncedTree } from '../../src/replica/status/announced-tree.ts'
import { decodeDelta, encodeDelta } from '../../src/replica/status/announcement-delta.ts'
import { decodeAnnouncement, encodeAnnouncement } from '../../src/replica/status/status-announcement.ts'
import type { Random } from './mutate.ts'
import { attempt, mutated, TEXT_REFUSALS, type Trial } from './target.ts'

const SNAPSHOT = cidOf(DAG_CBOR, Buffer.from('snapshot')).toString()

export function tryStatus(random: Random): Trial {
  return random.pick([tryAnnouncement, tryDelta, tryQuestion, tryPossession])(random)
}

function someTrees(random: Random): AnnouncedTree[] {
  return Array.from({ length: random.int(4) }, (_, n) => ({
    tree: `builds/t${n}`,
    completeSequence: random.int(2) === 0 ? null : random.int(100),
    completeSnapshot: SNAPSHOT,
    isFetching: random.int(2) === 0,
    fetchingSnapshot: null,
    missingBytes: random.int(1000),
    reason: 'a reason',
    checkouts: [{ path: '/srv/x', sequence: 1 }],
    alsoComplete: [2, 1],
    ...(random.int(2) === 0
      ? {}
      : { verified: [{ sequence: 2, mark: '0123456789abcdef', timeMs: random.int(1000) }] }),
  }))
}

function tryAnnouncement(random: Random): Trial {
  const said = {
    timeMs: 1,
    version: '1',
    addresses: ['/ip4/10.0.0.1/tcp/1'],
    trees: someTrees(random),
    bytesSent: 1,
    bytesReceived: 2,
    url: 'http://lab.example/',
  }
  const input = mutated(random, encodeAnnouncement(said))
  const found = attempt(() => decodeAnnouncement(input))
  if (found !== undefined) {
    const byName = (a: AnnouncedTree, b: AnnouncedTree): number => (a.tree < b.tree ? -1 : 1)
    const again = decodeAnnouncement(encodeAnnouncement(found))
    assert.deepEqual(
      { ...again, trees: again.trees.toSorted(byName) },
      { ...found, trees: found.trees.toSorted(byName) },
    )
  }
  return { taken: found !== undefined, input }
}

function tryDelta(random: Random): Trial {
  const delta = {
    timeMs: 2,
    baseMs: 1,
    trees: someTrees(random),
    gone: ['gone'],
    bytesSent: 1,
    bytesReceived: 2,
    freeBytes: 3,
  }
  const input = mutated(random, encodeDelta(delta))
  const found = attempt(() => decodeDelta(input))
  if (found !== undefined) assert.deepEqual(decodeDelta(encodeDelta(found)), found)
  return { taken: found !== undefined, input }
}

function tryQuestion(random: Random): Trial {
  const question = random.pick([
    { ask: 'status' } as const,
    { ask: 'fetches' } as const,
    { ask: 'fetch', tree: 'builds/x' } as const,
    {
      ask: 'possession',
      tree: 'builds/x',
      root: cidOf(DAG_CBOR, Buffer.from('root')),
      nonce: new Uint8Array(NONCE_BYTES).fill(random.int(256)),
      at: [random.int(10), 10 + random.int(1_000_000)],
    } as const,
  ])
  const input = mutated(random, encodeQuestion(question))
  const found = attempt(() => decodeQuestion(input), TEXT_REFUSALS)
  if (found !== undefined) assert.deepEqual(decodeQuestion(encodeQuestion(found)), found)
  return { taken: found !== undefined, input }
}

function tryPossession(random: Random): Trial {
  const digest = random.int(2) === 0 ? undefined : new Uint8Array(32).fill(random.int(256))
  const input = mutated(random, encodePossession(digest))
  const found = attempt(() => ({ digest: decodePossession(input) }))
  if (found !== undefined) assert.deepEqual(decodePossession(encodePossession(found.digest)), found.digest)
  return { taken: found !== undefined, input }
}
