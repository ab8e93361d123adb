/** Small meshes of real hosts on loopback, with in-memory ports above them. */
import { createHash, randomBytes } from 'node:crypto'
import { compareBytes, hex } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import { MirrorError } from '../../src/base/errors.ts'
import type { Cid } from '../../src/block/cid.ts'
import { cidKey, cidOf, DAG_CBOR, RAW } from '../../src/block/cid.ts'
import type { HostComponents, HostOptions } from '../../src/net/host.ts'
import { startHost } from '../../src/net/host.ts'
import type { BlockServer, Host, RecordExchange } from '../../src/net/ports.ts'

export const MESH = cidOf(DAG_CBOR, new TextEncoder().encode('a mesh of tests'))
export const TREE = 'builds/nightly'
export const PAGE = cidOf(DAG_CBOR, new TextEncoder().encode('a page'))

export function seedOf(name: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(name).digest())
}

/** Records here are any bytes; their id is the SHA-256. */
export class MemoryRecords implements RecordExchange {
  readonly held = new Map<string, Uint8Array>()
  readonly offers: { from: string; count: number }[] = []
  refuse: (record: Uint8Array) => string | undefined = () => undefined

  constructor(records: readonly Uint8Array[] = []) {
    for (const record of records) this.add(record)
  }

  add(record: Uint8Array): void {
    this.held.set(createHash('sha256').update(record).digest('hex'), record)
  }

  ids(): Uint8Array[] {
    return [...this.held.keys()].map((id) => new Uint8Array(Buffer.from(id, 'hex'))).sort(compareBytes)
  }

  get(ids: readonly Uint8Array[]): Promise<Uint8Array[]> {
    return Promise.resolve(ids.map((id) => this.held.get(hex(id))).filter((record) => record !== undefined))
  }

  offer(records: readonly Uint8Array[], from: string): ReturnType<RecordExchange['offer']> {
    this.offers.push({ from, count: records.length })
    const refused: { reason: string }[] = []
    let accepted = 0
    for (const record of records) {
      const reason = this.refuse(record)
      if (reason !== undefined) refused.push({ reason })
      else {
        this.add(record)
        accepted++
      }
    }
    return Promise.resolve({ accepted, refused })
  }
}

/** Blocks by offset of the one page; objects by CID. What is not set is missing. */
export class MemoryBlocks implements BlockServer {
  readonly pages = new Map<number, Uint8Array>()
  readonly objects = new Map<string, Uint8Array>()
  /** Runs before each block is yielded. */
  beforeBlock: (offset: number, signal: AbortSignal) => Promise<void> = () => Promise.resolve()
  watchUpdates: BlockServer['watch'] = async function* (_peer, _request, signal) {
    yield { kind: 'unknown' }
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  }
  asked = 0

  addObject(bytes: Uint8Array): Cid {
    const cid = cidOf(RAW, bytes)
    this.objects.set(cidKey(cid), bytes)
    return cid
  }

  object(_peer: string, tree: string, cid: Cid): Promise<Uint8Array | undefined> {
    return Promise.resolve(tree === TREE ? this.objects.get(cidKey(cid)) : undefined)
  }

  async *blocks(
    _peer: string,
    request: { tree: string; page: Cid; offsets: readonly number[] },
    signal: AbortSignal,
  ): AsyncGenerator<{ offset: number; bytes?: Uint8Array }[]> {
    this.asked++
    for (const offset of request.offsets) {
      await this.beforeBlock(offset, signal)
      const bytes = request.tree === TREE && request.page.equals(PAGE) ? this.pages.get(offset) : undefined
      yield [bytes === undefined ? { offset } : { offset, bytes }]
    }
  }

  watch(...args: Parameters<BlockServer['watch']>): ReturnType<BlockServer['watch']> {
    return this.watchUpdates(...args)
  }
}

export interface TestPeer {
  readonly host: Host
  readonly address: string
  readonly members: Set<string>
  readonly records: MemoryRecords
  readonly blocks: MemoryBlocks
  readonly guests: { areWelcome: boolean }
  readonly logged: string[]
}

/** Runs `body` with a starter of hosts; stops them all afterwards. */
export async function withHosts(
  body: (
    start: (name: string, parts?: Partial<HostComponents & HostOptions>) => Promise<TestPeer>,
  ) => Promise<void>,
): Promise<void> {
  const hosts: Host[] = []
  try {
    await body(async (name, parts = {}) => {
      const members = new Set<string>()
      const records = new MemoryRecords()
      const blocks = new MemoryBlocks()
      const guests = { areWelcome: false }
      const logged: string[] = []
      const note = (_fields: object, event: string): number => logged.push(event)
      const host = await startHost(
        {
          keySeed: seedOf(name),
          mesh: MESH,
          membership: { isMember: (peer) => members.has(peer), acceptsGuests: () => guests.areWelcome },
          records,
          admission: { claim: () => Promise.reject(new MirrorError('refused', 'no invites here')) },
          blockServer: blocks,
          clock: systemClock,
          log: { debug: note, info: note, warn: note },
          ...parts,
        },
        { listen: ['127.0.0.1:0'], security: ['noise'], ...parts },
      )
      hosts.push(host)
      return { host, address: host.addresses()[0] ?? 'none', members, records, blocks, guests, logged }
    })
  } finally {
    await Promise.all(hosts.map((host) => host.stop()))
  }
}

/** Makes members of them all, each for the others. */
export function introduce(...peers: TestPeer[]): void {
  for (const one of peers) for (const other of peers) if (one !== other) one.members.add(other.host.peerId)
}

/** Two members, connected. */
export async function withPair(
  body: (a: TestPeer, b: TestPeer) => Promise<void>,
  parts: Partial<HostComponents & HostOptions> = {},
): Promise<void> {
  await withHosts(async (start) => {
    const a = await start('alice', parts)
    const b = await start('bob', parts)
    introduce(a, b)
    await a.host.dial(b.host.peerId, [b.address])
    await body(a, b)
  })
}

/** Polls a condition that has no event of its own. */
export async function until(isTrue: () => boolean, what: string, timeoutMs = 60_000): Promise<void> {
  const endMs = Date.now() + timeoutMs
  while (!isTrue()) {
    if (Date.now() > endMs) throw new Error(`never happened: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export function noise(sizeBytes: number): Uint8Array {
  return new Uint8Array(randomBytes(sizeBytes))
}
