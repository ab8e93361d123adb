/**
 * A thread's side of storing blocks: offers them, appends the wanted ones to a pack of its own, has it synced and the
 * entries published while it goes on. Bounded: a commit ends a run of entries long before they weigh on memory, and
 * waits for the one before.
 */
import { MirrorError } from '../../base/errors.ts'
import { CID_KEY_BYTES } from '../../block/cid.ts'
import { REST_LEVEL, tryZstd } from '../../block/encoding.ts'
import { ENTRY_HEADER_BYTES, NOBODY } from '../../store/pack.ts'
import type { PackAppender } from '../../store/packs/pack-appender.ts'
import { createPackAppender } from '../../store/packs/pack-appender.ts'
import type { Asking } from '../thread.ts'
import type { BlockAnswer, BlockQuestion } from './block-questions.ts'

/** One fdatasync pays for this much; what a crash would lose of an import that has to start again anyway. */
const COMMIT_BYTES = 128 * 1024 * 1024
const COMMIT_ENTRIES = 4 * 1024
/** The disk writes while the thread reads and hashes: the sync of a commit then waits for little. */
const WRITEBACK_BYTES = 8 * 1024 * 1024
const PACK_BYTES = 256 * 1024 * 1024
/** From here on it pays to have place found for it at once. */
const EXPECT_BYTES = 256 * 1024

/** How new blocks rest: plain, or as zstd where it pays, at the cost of most of the import's speed. */
export type ImportCompression = 'none' | 'zstd'

export interface BlockSink {
  /**
   * Offers blocks. Between the call and the returned function the caller may do other work, but must leave the
   * run and the blocks' bytes alone; the returned function stores what is wanted.
   */
  offer(run: BlockRun): () => void
  /** Everything stored is synced and published. */
  finish(): void
}

/**
 * Blocks to offer, as parallel lists in shared memory: the main thread reads them where they are. Copies would be
 * garbage in both threads, tens of megabytes of it before a collector comes (measured).
 */
export interface BlockRun {
  readonly count: number
  /** 33 bytes a block. */
  readonly keys: Uint8Array<SharedArrayBuffer>
  readonly lengths: Uint32Array<SharedArrayBuffer>
  bytesOf(index: number): Uint8Array
}

export function createBlockSink(
  main: Asking<BlockQuestion, BlockAnswer>,
  { compression, isPrivate }: { readonly compression: ImportCompression; readonly isPrivate: boolean },
): BlockSink {
  const owner = isPrivate ? NOBODY : undefined
  let pack: { readonly packId: number; readonly appender: PackAppender } | undefined
  // Entries that are not committed, and beside them those of the commit that is being published.
  let pending = createEntries()
  let publishing = createEntries()
  let entries = 0
  let pendingBytes = 0
  /** Waits for the commit before: one is published while the thread reads on. */
  let published: () => void = () => undefined

  function openPack(): PackAppender {
    if (pack === undefined) {
      const reserved = expect('pack', main.ask({ kind: 'reserve' }))
      const appender = createPackAppender(reserved.path, reserved.packId, { writebackBytes: WRITEBACK_BYTES })
      pack = { packId: reserved.packId, appender }
    }
    return pack.appender
  }

  function commit(): void {
    published()
    published = () => undefined
    if (pack === undefined || entries === 0) return
    pack.appender.flush()
    const { keys, lengths, offsets, stored } = pending
    published = main.post({
      kind: 'commit',
      packId: pack.packId,
      keys: keys.subarray(0, entries * CID_KEY_BYTES),
      lengths: lengths.subarray(0, entries),
      offsets: offsets.subarray(0, entries),
      stored: stored.subarray(0, entries),
    })
    ;[pending, publishing] = [publishing, pending]
    entries = 0
    pendingBytes = 0
    if (pack.appender.sizeBytes >= PACK_BYTES) closePack()
  }

  /** Everything in it was posted for publication. */
  function closePack(): void {
    if (pack === undefined) return
    const { packId, appender } = pack
    appender.close()
    pack = undefined
    const committed = published
    published = () => {
      committed()
      main.ask({ kind: 'release', packId })
    }
  }

  return {
    offer(run) {
      if (run.count === 0) return () => undefined
      const answer = main.post({
        kind: 'offer',
        keys: run.keys.subarray(0, run.count * CID_KEY_BYTES),
        lengths: run.lengths.subarray(0, run.count),
      })
      return () => {
        const { wanted } = expect('wanted', answer())
        if (compression === 'none') {
          let wantedBytes = 0
          for (let index = 0; index < run.count; index++)
            if (wanted[index] === 1) wantedBytes += run.lengths[index]! + ENTRY_HEADER_BYTES
          if (wantedBytes >= EXPECT_BYTES) openPack().expect(wantedBytes)
        }
        for (let index = 0; index < run.count; index++) {
          if (wanted[index] !== 1) continue
          const key = run.keys.subarray(index * CID_KEY_BYTES, (index + 1) * CID_KEY_BYTES)
          const bytes = run.bytesOf(index)
          const zstd = compression === 'zstd' ? tryZstd(bytes, REST_LEVEL) : undefined
          const { offset, storedBytes, lengthBytes } =
            zstd === undefined
              ? openPack().hold(key, bytes, undefined, owner)
              : openPack().hold(key, zstd, bytes.length, owner)
          pending.keys.set(key, entries * CID_KEY_BYTES)
          pending.offsets[entries] = offset
          pending.lengths[entries] = lengthBytes
          pending.stored[entries] = storedBytes
          entries += 1
          pendingBytes += storedBytes
          if (pendingBytes >= COMMIT_BYTES || entries === COMMIT_ENTRIES) commit()
        }
        pack?.appender.flush()
      }
    },
    finish() {
      commit()
      closePack()
      published()
    },
  }
}

/** Room for the keys and lengths of `count` blocks. */
export function sharedBlocks(count: number): Pick<BlockRun, 'keys' | 'lengths'> {
  return {
    keys: new Uint8Array(new SharedArrayBuffer(count * CID_KEY_BYTES)),
    lengths: new Uint32Array(new SharedArrayBuffer(count * 4)),
  }
}

function createEntries(): Pick<BlockRun, 'keys' | 'lengths'> & {
  readonly offsets: Float64Array
  readonly stored: Uint32Array
} {
  return {
    ...sharedBlocks(COMMIT_ENTRIES),
    offsets: new Float64Array(new SharedArrayBuffer(COMMIT_ENTRIES * 8)),
    stored: new Uint32Array(new SharedArrayBuffer(COMMIT_ENTRIES * 4)),
  }
}

function expect<Kind extends BlockAnswer['kind']>(
  kind: Kind,
  answer: BlockAnswer,
): Extract<BlockAnswer, { kind: Kind }> {
  if (answer.kind !== kind)
    throw new MirrorError('internal', `a thread asked for ${kind} and got ${answer.kind}`)
  return answer as Extract<BlockAnswer, { kind: Kind }>
}
