/**
 * Main thread's side of storing blocks from several threads: decides who stores what, so that a block that several
 * threads meet is stored once, and publishes what they wrote. Counts what the store did not have.
 */
import { CID_KEY_BYTES, cidFromKeyBytes } from '../block/cid.ts'
import type { BlockStore, PackedEntry } from '../store/block-store.ts'
import type { BlockAnswer, BlockQuestion } from './block-questions.ts'

export interface BlockBroker {
  answer(question: BlockQuestion): Promise<BlockAnswer>
  readonly newBlocks: number
  /** Plain bytes. */
  readonly newBytes: number
}

export function createBlockBroker(blocks: BlockStore): BlockBroker {
  /** Keys that a thread was told to store and that are not published yet: bounded by the threads' commits. */
  const claimed = new Set<string>()
  let newBlocks = 0
  let newBytes = 0

  async function offer(keys: Uint8Array, lengths: Uint32Array): Promise<Uint8Array> {
    const wanted = new Uint8Array(lengths.length)
    const mine: { index: number; key: string }[] = []
    // Claimed before the store is asked: two threads that offer one block at a time must not both be told to store it.
    const text = Buffer.from(keys.buffer, keys.byteOffset, keys.length).toString('latin1')
    for (let index = 0; index < lengths.length; index++) {
      const key = text.slice(index * CID_KEY_BYTES, (index + 1) * CID_KEY_BYTES)
      if (claimed.has(key)) continue
      claimed.add(key)
      mine.push({ index, key })
    }
    const stored = await blocks.has(mine.map(({ index }) => cidFromKeyBytes(keys, index * CID_KEY_BYTES)))
    mine.forEach(({ index, key }, at) => {
      if (stored[at]) {
        claimed.delete(key)
      } else {
        wanted[index] = 1
        newBlocks += 1
        newBytes += lengths[index]!
      }
    })
    return wanted
  }

  async function commit(question: Extract<BlockQuestion, { kind: 'commit' }>): Promise<void> {
    const { keys, lengths, offsets } = question
    const entries: PackedEntry[] = []
    for (let index = 0; index < lengths.length; index++) {
      entries.push({
        key: keys.slice(index * CID_KEY_BYTES, (index + 1) * CID_KEY_BYTES),
        offset: offsets[index]!,
        storedBytes: lengths[index]!,
        lengthBytes: lengths[index]!,
        encoding: 'plain',
      })
    }
    await blocks.commitPacked(question.packId, entries)
    for (const { key } of entries) claimed.delete(Buffer.from(key).toString('latin1'))
  }

  return {
    async answer(question) {
      switch (question.kind) {
        case 'offer':
          return { kind: 'wanted', wanted: await offer(question.keys, question.lengths) }
        case 'reserve':
          return { kind: 'pack', ...(await blocks.reservePack()) }
        case 'commit':
          await commit(question)
          return { kind: 'committed' }
      }
    },
    get newBlocks() {
      return newBlocks
    },
    get newBytes() {
      return newBytes
    },
  }
}
