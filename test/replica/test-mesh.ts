/** A mesh made of given keys, and signed records to build it with: for the tests of what rests on records. */
import { compareBytes } from '../../src/base/bytes.ts'
import type { Cid } from '../../src/block/cid.ts'
import type { Bodies, Kind } from '../../src/record/content.ts'
import { type ChainTip, draftRecord, signRecord } from '../../src/record/draft.ts'
import { type KeyPair, keyPairFromSeed } from '../../src/record/key.ts'
import { decodeSigned, type VerifiedRecord } from '../../src/record/record.ts'

export const START_MS = 1_700_000_000_000

export function testKey(number: number): KeyPair {
  return keyPairFromSeed(new Uint8Array(32).fill(number))
}

export interface TestMesh {
  readonly mesh: Cid
  readonly admin: KeyPair
  readonly genesis: VerifiedRecord
  /** Signs the next record of `key`'s chain. */
  sign<K extends Kind>(key: KeyPair, kind: K, body: Bodies[K], options?: { timeMs?: number }): VerifiedRecord
  /** As `sign`, going on from a given place: for forks. */
  signAt<K extends Kind>(key: KeyPair, tip: ChainTip | undefined, kind: K, body: Bodies[K]): VerifiedRecord
  member(key: KeyPair, site: string, region: string): VerifiedRecord
  tree(name: string, publisher: KeyPair, readers?: 'members' | 'granted'): VerifiedRecord[]
  /** Lets the key read private trees, or takes that back. */
  reader(key: KeyPair, trees: readonly string[], version?: number, removed?: boolean): VerifiedRecord
}

export function createTestMesh(): TestMesh {
  const admin = testKey(1)
  const tips = new Map<string, ChainTip>()
  let mesh: Cid | null = null

  function signAt<K extends Kind>(
    key: KeyPair,
    tip: ChainTip | undefined,
    kind: K,
    body: Bodies[K],
    timeMs = START_MS,
  ): VerifiedRecord {
    const draft = draftRecord({ kind, body, mesh, issuer: key.publicKey, tip, timeMs })
    return decodeSigned(signRecord(draft, key))
  }

  function sign<K extends Kind>(
    key: KeyPair,
    kind: K,
    body: Bodies[K],
    { timeMs = START_MS }: { timeMs?: number } = {},
  ): VerifiedRecord {
    const record = signAt(key, tips.get(key.peer), kind, body, timeMs)
    tips.set(key.peer, { counter: record.counter, id: record.id })
    return record
  }

  const genesis = sign(admin, 'genesis', {
    name: 'test',
    admins: { keys: [admin.publicKey], threshold: 1 },
    recovery: testKey(2).publicKey,
    nonce: new Uint8Array(16),
  })
  mesh = genesis.id

  return {
    mesh,
    admin,
    genesis,
    sign,
    signAt: (key, tip, kind, body) => signAt(key, tip, kind, body),
    member: (key, site, region) =>
      sign(admin, 'member', {
        peer: key.publicKey,
        site,
        region,
        roles: ['site'],
        invite: null,
        expiresMs: null,
        version: 1,
      }),
    reader: (key, trees, version = 1, removed = false) =>
      sign(admin, 'grant', {
        grants: [key.publicKey],
        name: 'reader',
        role: 'reader',
        trees,
        may: [],
        expiresMs: null,
        counter: 0,
        last: null,
        version,
        removed,
      }),
    tree: (name, publisher, readers = 'members') => [
      sign(admin, 'tree', {
        name,
        readers,
        publishers: [publisher.publicKey].sort(compareBytes),
        version: 1,
        removed: false,
      }),
      sign(admin, 'epoch', {
        tree: name,
        epoch: 1,
        previous: null,
        publisher: publisher.publicKey,
        base: null,
      }),
    ],
  }
}

/** A log that keeps what it is told and fails when asked to. */
export function createTestLog(records: Uint8Array[] = []) {
  let failure: Error | undefined
  let onAppend: (() => void) | undefined
  return {
    records,
    failWith(error: Error | undefined) {
      failure = error
    },
    /** Called after each append is durable, before it resolves. */
    whenAppended(listener: () => void) {
      onAppend = listener
    },
    async append(more: readonly Uint8Array[]) {
      await Promise.resolve()
      if (failure !== undefined) throw failure
      records.push(...more)
      onAppend?.()
    },
    async *readAll() {
      yield* records
    },
  }
}

export interface LoggedEvent {
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

export function createTestLogger() {
  const events: LoggedEvent[] = []
  const log = (fields: object, event: string): void => {
    events.push({ event, fields: fields as Record<string, unknown> })
  }
  return { events, debug: log, info: log, warn: log }
}
