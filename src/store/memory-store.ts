/**
 * The store in memory: for tests and simulations of the layers above. It keeps every obligation of the ports except
 * that nothing outlives it. `reservePack` gives real files in a temporary folder, since worker threads write them; the
 * files behind file-backed blocks are real as well.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { MirrorError } from '../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { cidFromKeyBytes, cidKey, cidToKeyBytes, verifyBlock } from '../block/cid.ts'
import { decodeBlock } from '../block/encoding.ts'
import { createBackedBlocks } from './backings/memory-backed.ts'
import type {
  BlockStore,
  CorruptBlock,
  PackedEntry,
  PutBlock,
  PutOptions,
  TreeOfBlocks,
} from './block-store.ts'
import { createCollect } from './collect/collection.ts'
import { createIndexValues } from './index/index-values.ts'
import type { KeyValue } from './index/key-value.ts'
import { createMemoryIndex } from './index/memory-index.ts'
import { createLeases } from './leases.ts'
import { packFileName } from './pack.ts'
import { createPack } from './packs/pack-appender.ts'
import type { RecordLog } from './record-log.ts'
import { MAX_LOGGED_RECORD_BYTES } from './record-log.ts'
import type { Store } from './store.ts'

export interface MemoryStoreOptions {
  /** Where the folder of reserved packs is made; `close` removes it. */
  readonly tempDir?: string
  readonly onCorrupt?: (damage: CorruptBlock) => void
}

export function createMemoryStore({
  tempDir = os.tmpdir(),
  onCorrupt = () => undefined,
}: MemoryStoreOptions = {}): Store {
  const blocks = new Map<string, Uint8Array>()
  const index = createMemoryIndex()
  const values = new Map<string, KeyValue>()
  const records: Uint8Array[] = []
  const packs = new Map<number, string>()
  let packDir: string | undefined
  let lastPackId = 0
  const backed = createBackedBlocks(blocks, onCorrupt)

  const leases = createLeases()

  /** Of blocks that came through private trees alone: which. */
  const owners = new Map<string, Set<string>>()

  function of({ tree, isPrivate, mayTakeFrom = () => false }: TreeOfBlocks): BlockStore {
    const mayHave = (cid: Cid): boolean => owners.get(cidKey(cid))?.has(tree) ?? true
    const takeOver = (cids: readonly Cid[]): void => {
      for (const cid of cids) {
        const [first] = owners.get(cidKey(cid)) ?? []
        if (first !== undefined && !mayHave(cid) && mayTakeFrom(first)) take(cidKey(cid), true)
      }
    }
    const seen = <T>(cids: readonly Cid[], found: readonly T[], none: T): T[] =>
      found.map((one, i) => (mayHave(cids[i]!) ? one : none))
    /** @param wasHere whether the block was stored before it came */
    const take = (key: string, wasHere: boolean): void => {
      const own = owners.get(key)
      if (!isPrivate()) owners.delete(key)
      else if (own !== undefined) own.add(tree)
      else if (!wasHere) owners.set(key, new Set([tree]))
    }
    const taking = async (keys: readonly Uint8Array[], work: () => Promise<void>): Promise<void> => {
      const here = await blockStore.has(keys.map((key) => cidFromKeyBytes(key)))
      await work()
      for (const [i, key] of keys.entries()) take(cidKey(cidFromKeyBytes(key)), here[i]!)
    }
    return {
      ...blockStore,
      get: async (cid, signal) => {
        takeOver([cid])
        const bytes = await blockStore.get(cid, signal)
        return mayHave(cid) ? bytes : undefined
      },
      has: async (cids) => {
        takeOver(cids)
        return seen(cids, await blockStore.has(cids), false)
      },
      getMany: async (cids, signal) => {
        takeOver(cids)
        return seen(cids, await blockStore.getMany(cids, signal), undefined)
      },
      getEncoded: async (cids, signal) => seen(cids, await blockStore.getEncoded(cids, signal), undefined),
      put: (added, options) =>
        taking(
          added.map(({ cid }) => cidToKeyBytes(cid)),
          () => store(added, options),
        ),
      commitPacked: (packId, entries) =>
        taking(
          entries.map(({ key }) => key),
          async () => commitPacked(packId, entries),
        ),
      backings: {
        ...backed.backings,
        async commit(backingId, files, options) {
          const keys = files.flatMap((file) => file.blocks.map(({ key }) => key))
          let size = { blocks: 0, bytes: 0 }
          await taking(keys, async () => {
            size = await backed.backings.commit(backingId, files, options)
          })
          return size
        },
      },
      of,
    }
  }

  async function store(newBlocks: readonly PutBlock[], { verified = false }: PutOptions = {}): Promise<void> {
    for (const { cid, bytes } of newBlocks) {
      if (bytes.length > MAX_BLOCK_BYTES) {
        throw new MirrorError('limit', `a block of ${bytes.length} bytes: the limit is ${MAX_BLOCK_BYTES}`)
      }
      if (!verified) verifyBlock(cid, bytes)
    }
    const places = await backed.find(newBlocks.map(({ cid }) => cid))
    for (const [i, { cid, bytes }] of newBlocks.entries()) {
      const key = cidKey(cid)
      leases.touch([cidToKeyBytes(cid)])
      if (places[i] === undefined && !blocks.has(key)) blocks.set(key, new Uint8Array(bytes))
    }
  }

  function commitPacked(packId: number, entries: readonly PackedEntry[]): void {
    const file = packs.get(packId)
    if (file === undefined) throw new MirrorError('invalid', `pack ${packId} was not reserved`)
    leases.touch(entries.map(({ key }) => key))
    for (const [key, bytes] of readEntries(file, entries)) if (!blocks.has(key)) blocks.set(key, bytes)
  }

  const blockStore: BlockStore = {
    of,
    async get(cid, signal) {
      signal?.throwIfAborted()
      leases.touch([cidToKeyBytes(cid)])
      return blocks.get(cidKey(cid))?.slice() ?? backed.get(cid)
    },
    async has(cids) {
      leases.touch(cids.map(cidToKeyBytes))
      const places = await backed.find(cids)
      return cids.map((cid, i) => blocks.has(cidKey(cid)) || places[i] !== undefined)
    },
    async getMany(cids, signal) {
      const found: (Uint8Array | undefined)[] = []
      for (const cid of cids) found.push(await blockStore.get(cid, signal))
      return found
    },
    async getEncoded(cids, signal) {
      const found = await blockStore.getMany(cids, signal)
      return found.map((bytes) => bytes && { encoding: 'plain', bytes, lengthBytes: bytes.length })
    },
    async put(newBlocks, options) {
      await store(newBlocks, options)
      for (const { cid } of newBlocks) owners.delete(cidKey(cid))
    },
    flush: async () => undefined,
    async commitPacked(packId, entries) {
      commitPacked(packId, entries)
      for (const { key } of entries) owners.delete(cidKey(cidFromKeyBytes(key)))
    },
    locate: async (cids) => cids.map(() => undefined),
    async reservePack() {
      packDir ??= fs.mkdtempSync(path.join(tempDir, 'mirrormesh-memory-'))
      const packId = ++lastPackId
      const file = path.join(packDir, packFileName(packId))
      createPack(file, packId)
      packs.set(packId, file)
      return { packId, path: file }
    },
    async releasePack(packId) {
      packs.delete(packId)
    },
    claimSpace: async () => undefined,
    backings: backed.backings,
    lease: leases.lease,
    leases: leases.list,
  }

  const collect = createCollect({
    blocks: blockStore,
    leases,
    countBlocks: () => blocks.size,
    touchPending: () => undefined,
    async sweep(isLive, { isDryRun = false }) {
      let deadBlocks = 0
      let deadBytes = 0
      for (const [name, { length }] of blocks) {
        const key = Buffer.from(name, 'latin1')
        if (isLive(key) || leases.isTouched(key)) continue
        deadBlocks += 1
        deadBytes += length
        if (isDryRun) continue
        blocks.delete(name)
        owners.delete(name)
      }
      const liveBlocks = blocks.size - (isDryRun ? deadBlocks : 0)
      return { liveBlocks, deadBlocks, deadBytes, removedPacks: 0, compactedPacks: 0, freedBytes: deadBytes }
    },
  })

  const recordLog: RecordLog = {
    async append(added) {
      if (added.some(({ length }) => length === 0 || length > MAX_LOGGED_RECORD_BYTES)) {
        throw new MirrorError('limit', `a record must be 1 to ${MAX_LOGGED_RECORD_BYTES} bytes`)
      }
      records.push(...added.map((record) => new Uint8Array(record)))
    },
    async *readAll() {
      for (const record of records.slice()) yield new Uint8Array(record)
    },
  }

  return {
    blocks: blockStore,
    records: recordLog,
    values(namespace) {
      const known = values.get(namespace) ?? createIndexValues(index, namespace)
      values.set(namespace, known)
      return known
    },
    collect,
    // Memory does not rot.
    scrub: async () => ({
      packs: 0,
      bytes: 0,
      blocks: blocks.size,
      damagedBlocks: 0,
      unreadablePacks: 0,
      backings: 0,
      unreadableBackings: 0,
    }),
    stats() {
      let packBytes = 0
      for (const bytes of blocks.values()) packBytes += bytes.length
      const recordBytes = records.reduce((sum, { length }) => sum + length, 0)
      return { blocks: blocks.size, packs: packs.size, packBytes, recordBytes }
    },
    async close() {
      backed.close()
      if (packDir !== undefined) fs.rmSync(packDir, { recursive: true, force: true })
    },
  }
}

function readEntries(file: string, entries: readonly PackedEntry[]): [string, Uint8Array][] {
  const fd = fs.openSync(file, 'r')
  try {
    return entries.map(({ key, offset, storedBytes, lengthBytes, encoding }) => {
      const cid = cidFromKeyBytes(key)
      const stored = new Uint8Array(storedBytes)
      fs.readSync(fd, stored, 0, storedBytes, offset)
      const bytes = decodeBlock({ encoding, bytes: stored, lengthBytes })
      verifyBlock(cid, bytes)
      return [cidKey(cid), bytes]
    })
  } finally {
    fs.closeSync(fd)
  }
}
