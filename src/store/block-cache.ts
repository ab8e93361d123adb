/**
 * Blocks that may go at any time, in files of their own beside the store: what was fetched for a reader and belongs to no
 * snapshot that is kept here. Bounded by a quota; what was not asked for the longest goes first.
 *
 *   DIR/<generation>-<66 hex digits of the block's key>-<its length>
 *
 * The names are all the accounting there is, so a kill at any instant loses none of it: the next start reads them. What was
 * asked for again moves to the newest generation; generations are the order of age that survives a restart.
 *
 * Nothing is synced. Every block is checked against its CID when it is read, and one that a power loss has torn is removed
 * and missing. Being outside of the packs, it is no matter for collections, counts for no snapshot, and is given up to
 * whatever is kept for good: `makeRoom`.
 */
import { hex } from '../base/bytes.ts'
import type { ErrorFacts } from '../base/errors.ts'
import { type Cid, cidKey, isBlockOf } from '../block/cid.ts'
import type { FileOps } from './files.ts'
import { systemFiles } from './files.ts'

export interface BlockCache {
  /** The verified bytes, the caller's own; undefined when they are not (or no longer) here. */
  get(cid: Cid): Promise<Uint8Array | undefined>
  /**
   * Keeps a block whose bytes the caller has checked, and leaves alone until it resolves. Never rejects: where there is no
   * room for it, it is not kept.
   */
  put(cid: Cid, bytes: Uint8Array): Promise<void>
  /** Gives up so many bytes of the disk at least, as far as there are. Returns how many were given up. */
  makeRoom(sizeBytes: number): number
  usage(): BlockCacheUsage
}

export interface BlockCacheUsage {
  readonly blocks: number
  /** As they take room on a disk: in whole pages. */
  readonly bytes: number
  readonly quotaBytes: number
  /** Since the start. */
  readonly evictedBlocks: number
}

export interface BlockCacheOptions {
  /** A folder of its own; made when it does not exist. */
  readonly dir: string
  readonly quotaBytes: number
  /** Of files, and of entries in memory at 200 to 300 bytes each. */
  readonly maxBlocks?: number
  /** Nothing is kept while less than this is free: the store needs it. */
  readonly reserveBytes?: number
}

interface Slot {
  generation: number
  readonly lengthBytes: number
}

const NAME = /^([1-9][0-9]{0,14})-([0-9a-f]{66})-([1-9][0-9]{0,6})$/
const PAGE_BYTES = 4096
/** Of the quota: as fine as age is known after a restart. */
const GENERATIONS = 16
/** The file system is asked for its free space once in so many bytes. */
const LOOK_BYTES = 16 * 1024 * 1024

/** @throws what the file system throws when the folder cannot be made or read */
export function openBlockCache(
  {
    files = systemFiles,
    log = () => undefined,
  }: { readonly files?: FileOps; readonly log?: (event: string, facts: ErrorFacts) => void },
  { dir, quotaBytes, maxBlocks = 200_000, reserveBytes = 512 * 1024 * 1024 }: BlockCacheOptions,
): BlockCache {
  /** The one to go first is the first. */
  const slots = new Map<string, Slot>()
  let bytes = 0
  let evictedBlocks = 0
  let generation = 1
  let generationBytes = 0
  let isFull = false
  let unseenBytes = LOOK_BYTES

  const pathOf = (key: string, { generation: of, lengthBytes }: Slot): string =>
    `${dir}/${of}-${hex(Buffer.from(key, 'latin1'))}-${lengthBytes}`

  function load(): void {
    files.makeDir(dir)
    const found: { name: string; key: string; slot: Slot }[] = []
    for (const name of files.list(dir)) {
      const match = NAME.exec(name)
      // What has another name was being written.
      if (match === null) files.remove(`${dir}/${name}`)
      else {
        const key = Buffer.from(match[2]!, 'hex').toString('latin1')
        found.push({ name, key, slot: { generation: Number(match[1]), lengthBytes: Number(match[3]) } })
      }
    }
    for (const { name, key, slot } of found.sort(
      (one, other) => one.slot.generation - other.slot.generation,
    )) {
      if (slots.has(key)) {
        files.remove(`${dir}/${name}`)
        continue
      }
      slots.set(key, slot)
      bytes += roomOf(slot)
      generation = slot.generation + 1
    }
    shrinkTo(quotaBytes)
  }

  function drop(key: string, slot: Slot): void {
    slots.delete(key)
    bytes -= roomOf(slot)
    files.remove(pathOf(key, slot))
  }

  function shrinkTo(limitBytes: number, limitBlocks = maxBlocks): number {
    const before = bytes
    for (const [key, slot] of slots) {
      if (bytes <= limitBytes && slots.size <= limitBlocks) break
      drop(key, slot)
      evictedBlocks++
    }
    return before - bytes
  }

  /** The generation that a block of this size goes to. */
  function current(sizeBytes: number): number {
    generationBytes += sizeBytes
    if (generationBytes > quotaBytes / GENERATIONS) {
      generation++
      generationBytes = sizeBytes
    }
    return generation
  }

  function noteUse(key: string, slot: Slot): void {
    slots.delete(key)
    slots.set(key, slot)
    if (slot.generation === generation) return
    const from = pathOf(key, slot)
    slot.generation = current(roomOf(slot))
    files.rename(from, pathOf(key, slot))
  }

  async function hasRoomFor(sizeBytes: number): Promise<boolean> {
    unseenBytes += sizeBytes
    if (unseenBytes < LOOK_BYTES) return !isFull
    unseenBytes = 0
    isFull = (await files.freeBytes(dir)) < reserveBytes
    return !isFull
  }

  function write(path: string, block: Uint8Array): void {
    const temporary = `${dir}/new`
    files.remove(temporary)
    try {
      const file = files.open(temporary, 'create')
      try {
        file.write(block, 0)
      } finally {
        file.close()
      }
      files.rename(temporary, path)
    } catch (error) {
      files.remove(temporary)
      // Most likely the disk is full: it is looked at again before the next one.
      unseenBytes = LOOK_BYTES
      throw error
    }
  }

  async function keep(cid: Cid, block: Uint8Array): Promise<void> {
    if (!(await hasRoomFor(block.length))) return
    const key = cidKey(cid)
    if (slots.has(key)) return
    const slot: Slot = { generation: 0, lengthBytes: block.length }
    if (roomOf(slot) > quotaBytes) return
    shrinkTo(quotaBytes - roomOf(slot), maxBlocks - 1)
    slot.generation = current(roomOf(slot))
    write(pathOf(key, slot), block)
    slots.set(key, slot)
    bytes += roomOf(slot)
  }

  load()
  return {
    async get(cid) {
      const key = cidKey(cid)
      const slot = slots.get(key)
      if (slot === undefined) return undefined
      try {
        const file = files.open(pathOf(key, slot), 'read')
        const block = new Uint8Array(Buffer.allocUnsafeSlow(slot.lengthBytes).buffer)
        try {
          const read = await file.read(block, 0)
          if (read === block.length && isBlockOf(cid, block)) {
            if (slots.get(key) === slot) noteUse(key, slot)
            return block
          }
        } finally {
          file.close()
        }
        log('pull.block-damaged', { cid: cid.toString() })
      } catch (error) {
        log('pull.block-unreadable', { cid: cid.toString(), reason: String(error) })
      }
      if (slots.get(key) === slot) forget(key, slot)
      return undefined
    },
    put: (cid, block) =>
      keep(cid, block).catch((error: unknown) =>
        log('pull.block-not-kept', { cid: cid.toString(), reason: String(error) }),
      ),
    makeRoom(sizeBytes) {
      const freed = shrinkTo(Math.max(0, bytes - sizeBytes))
      unseenBytes = LOOK_BYTES
      return freed
    },
    usage: () => ({ blocks: slots.size, bytes, quotaBytes, evictedBlocks }),
  }

  /** A damaged one, or one that is gone: trouble with the file is no trouble of the reader. */
  function forget(key: string, slot: Slot): void {
    try {
      drop(key, slot)
    } catch (error) {
      log('pull.block-not-removed', { reason: String(error) })
    }
  }
}

function roomOf({ lengthBytes }: Slot): number {
  return Math.ceil(lengthBytes / PAGE_BYTES) * PAGE_BYTES
}
