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
import { cidFromKeyBytes, cidKey, cidToKeyBytes, verifyBlock } from '../block/cid.ts'
import { decodeBlock } from '../block/encoding.ts'
import type { BlockStore, CorruptBlock, PackedEntry } from './block-store.ts'
import { createCollect } from './collection.ts'
import { createIndexValues } from './index-values.ts'
import type { KeyValue } from './key-value.ts'
import { createLeases } from './leases.ts'
import { createBackedBlocks } from './memory-backed.ts'
import { createMemoryIndex } from './memory-index.ts'
import { packFileName } from './pack.ts'
import { createPack } from './pack-appender.ts'
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

  const blockStore: BlockStore = {
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
    async put(newBlocks, { verified = false } = {}) {
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
    },
    flush: async () => undefined,
    locate: async (cids) => cids.map(() => undefined),
    async reservePack() {
      packDir ??= fs.mkdtempSync(path.join(tempDir, 'mirrormesh-memory-'))
      const packId = ++lastPackId
      const file = path.join(packDir, packFileName(packId))
      createPack(file, packId)
      packs.set(packId, file)
      return { packId, path: file }
    },
    async commitPacked(packId, entries) {
      const file = packs.get(packId)
      if (file === undefined) throw new MirrorError('invalid', `pack ${packId} was not reserved`)
      leases.touch(entries.map(({ key }) => key))
      for (const [key, bytes] of readEntries(file, entries)) if (!blocks.has(key)) blocks.set(key, bytes)
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
        if (!isDryRun) blocks.delete(name)
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
