/**
 * Main thread's side of storing blocks from several threads: decides who stores what, so that a block that several
 * threads meet is stored once, and publishes what they wrote. Counts what the store did not have. Space on the disk is
 * claimed before a thread is told to write, and what it wrote in vain is given back when it has ended.
 */
import { CID_KEY_BYTES, cidFromKeyBytes } from '../../block/cid.ts'
import { createFingerprintSet } from '../../dag/fingerprint-set.ts'
import type { BlockStore, PackedEntry } from '../../store/block-store.ts'
import type { BlockAnswer, BlockQuestion } from './block-questions.ts'

export interface BlockBroker {
  answer(question: BlockQuestion): Promise<BlockAnswer>
  /** For when the threads have ended: waits for the answers in progress and releases their packs. */
  close(): Promise<void>
  readonly newBlocks: number
  /** Plain bytes. */
  readonly newBytes: number
}

export interface BlockBrokerOptions {
  /** Nothing is written, only counted. */
  readonly isDry?: boolean
  /** Blocks may lie in files that are not ours: of a dry run, those are not counted as new. */
  readonly isInPlace?: boolean
}

export function createBlockBroker(
  blocks: BlockStore,
  { isDry = false, isInPlace = false }: BlockBrokerOptions = {},
): BlockBroker {
  /** Keys that a thread was told to store and that are not published yet: bounded by the threads' commits. */
  const claimed = new Set<string>()
  /** Of a dry run: what was counted as new. */
  const counted = createFingerprintSet()
  const packs = new Set<number>()
  const answering = new Set<Promise<unknown>>()
  let newBlocks = 0
  let newBytes = 0

  async function offer(keys: Uint8Array, lengths: Uint32Array): Promise<Uint8Array> {
    const wanted = new Uint8Array(lengths.length)
    const mine: { index: number; key: string }[] = []
    // Claimed before the store is asked: two threads that offer one block at a time must not both be told to store it.
    const text = textOf(keys)
    for (let index = 0; index < lengths.length; index++) {
      const key = text.slice(index * CID_KEY_BYTES, (index + 1) * CID_KEY_BYTES)
      if (claimed.has(key)) continue
      claimed.add(key)
      mine.push({ index, key })
    }
    const cids = mine.map(({ index }) => cidFromKeyBytes(keys, index * CID_KEY_BYTES))
    // What lies in somebody else's file only, which may have changed by now, is stored as well.
    const [stored, borrowed] = await Promise.all([blocks.has(cids), blocks.backings.areBorrowed(cids)])
    let wantedBytes = 0
    mine.forEach(({ index, key }, at) => {
      if (stored[at] && (!borrowed[at] || (isDry && isInPlace))) {
        claimed.delete(key)
      } else if (isDry) {
        claimed.delete(key)
        if (!counted.add(cidFromKeyBytes(keys, index * CID_KEY_BYTES))) return
        newBlocks += 1
        newBytes += lengths[index]!
      } else {
        wanted[index] = 1
        newBlocks += 1
        wantedBytes += lengths[index]!
      }
    })
    newBytes += wantedBytes
    if (wantedBytes > 0) await blocks.claimSpace(wantedBytes)
    return wanted
  }

  async function lookUp(keys: Uint8Array): Promise<Uint8Array> {
    const cids = Array.from({ length: keys.length / CID_KEY_BYTES }, (_, index) =>
      cidFromKeyBytes(keys, index * CID_KEY_BYTES),
    )
    const [stored, borrowed] = await Promise.all([blocks.has(cids), blocks.backings.areBorrowed(cids)])
    return Uint8Array.from(stored, (isStored, index) => Number(isStored && !borrowed[index]))
  }

  async function commit(question: Extract<BlockQuestion, { kind: 'commit' }>): Promise<void> {
    const { keys, lengths, offsets, stored } = question
    const entries: PackedEntry[] = []
    for (let index = 0; index < lengths.length; index++) {
      entries.push({
        key: keys.slice(index * CID_KEY_BYTES, (index + 1) * CID_KEY_BYTES),
        offset: offsets[index]!,
        storedBytes: stored[index]!,
        lengthBytes: lengths[index]!,
        encoding: stored[index] === lengths[index] ? 'plain' : 'zstd',
      })
    }
    await blocks.commitPacked(question.packId, entries)
    const text = textOf(keys)
    for (let at = 0; at < text.length; at += CID_KEY_BYTES) claimed.delete(text.slice(at, at + CID_KEY_BYTES))
  }

  async function reserve(): Promise<BlockAnswer> {
    const pack = await blocks.reservePack()
    packs.add(pack.packId)
    return { kind: 'pack', ...pack }
  }

  async function answer(question: BlockQuestion): Promise<BlockAnswer> {
    switch (question.kind) {
      case 'offer':
        return { kind: 'wanted', wanted: await offer(question.keys, question.lengths) }
      case 'look-up':
        return { kind: 'looked-up', stored: await lookUp(question.keys) }
      case 'reserve':
        return reserve()
      case 'commit':
        await commit(question)
        return { kind: 'committed' }
      case 'release':
        // What fails here is tried again, or found when the store is opened next.
        await blocks.releasePack(question.packId).then(
          () => packs.delete(question.packId),
          () => undefined,
        )
        return { kind: 'released' }
    }
  }

  return {
    async answer(question) {
      const answered = answer(question)
      answering.add(answered)
      try {
        return await answered
      } finally {
        answering.delete(answered)
      }
    },
    async close() {
      await Promise.allSettled(answering)
      // What cannot be given back now is found when the store is opened next.
      await Promise.allSettled([...packs].map((packId) => blocks.releasePack(packId)))
    },
    get newBlocks() {
      return newBlocks
    },
    get newBytes() {
      return newBytes
    },
  }
}

/** One character a byte. */
function textOf(keys: Uint8Array): string {
  return Buffer.from(keys.buffer, keys.byteOffset, keys.length).toString('latin1')
}
