/** Collects tasks of a check-out until they make a batch worth a message, and looks up where their blocks lie. */
import { CID_KEY_BYTES, cidToKeyBytes, RAW } from '../../block/cid.ts'
import type { Entry, FileEntry } from '../../dag/entry.ts'
import type { FilePart } from '../../dag/file.ts'
import type { Xattr } from '../../dag/xattrs.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { TaskMetadata, WriteBatch, WriteTask } from './checkout-threads.ts'
import { IN_BATCH } from './checkout-threads.ts'
import type { StoredFile } from './pack-reader.ts'

const BATCH_BYTES = 4 * 1024 * 1024
const BATCH_TASKS = 256

export interface WriteBatchBuilder {
  readonly isEmpty: boolean
  readonly isFull: boolean
  add(task: WriteTask, strings: readonly Uint8Array[], parts?: readonly FilePart[]): void
  /** Starts over. */
  build(id: number): Promise<WriteBatch>
}

export function createWriteBatchBuilder(blocks: Pick<BlockStore, 'locate'>): WriteBatchBuilder {
  let tasks: WriteTask[] = []
  let strings: Uint8Array[] = []
  let blocksOfTasks: FilePart[] = []
  let bytes = 0
  return {
    get isEmpty() {
      return tasks.length === 0
    },
    get isFull() {
      return tasks.length >= BATCH_TASKS || bytes >= BATCH_BYTES
    },
    add(task, texts, parts = []) {
      tasks.push(task)
      strings.push(...texts)
      if ('metadata' in task) for (const { value } of task.metadata.xattrs) bytes += value.length
      for (const part of parts) {
        blocksOfTasks.push(part)
        bytes += part.lengthBytes
      }
    },
    async build(id) {
      const wanted = blocksOfTasks
      const batch = {
        id,
        tasks,
        strings: new Uint8Array(Buffer.concat(strings)),
        lengths: Uint32Array.from(wanted, ({ lengthBytes }) => lengthBytes),
      }
      tasks = []
      strings = []
      blocksOfTasks = []
      bytes = 0
      const lying = wanted.flatMap(({ cid, inline }) => (inline === undefined ? [cid] : []))
      const places = (lying.length === 0 ? [] : await blocks.locate(lying)).values()
      const contents: Uint8Array[] = []
      let contentBytes = 0
      const keys = new Uint8Array(wanted.length * CID_KEY_BYTES)
      const packs: StoredFile[] = []
      const packNumbers = new Map<string, number>()
      const packOf = new Int32Array(wanted.length).fill(-1)
      const offsets = new Float64Array(wanted.length)
      const stored = new Uint32Array(wanted.length)
      wanted.forEach(({ cid, inline }, index) => {
        keys.set(cidToKeyBytes(cid), index * CID_KEY_BYTES)
        if (inline !== undefined) {
          packOf[index] = IN_BATCH
          offsets[index] = contentBytes
          contents.push(inline)
          contentBytes += inline.length
          return
        }
        const place = places.next().value
        if (place === undefined || place.lengthBytes !== batch.lengths[index]) return
        let pack = packNumbers.get(place.path)
        if (pack === undefined) {
          pack = packs.length
          packs.push(place.root === undefined ? { path: place.path } : { path: place.path, root: place.root })
          packNumbers.set(place.path, pack)
        }
        packOf[index] = pack
        offsets[index] = place.offset
        stored[index] = place.storedBytes
      })
      const inline = new Uint8Array(Buffer.concat(contents))
      return { ...batch, keys, packs, packOf, offsets, stored, inline }
    },
  }
}

export function taskMetadata(
  { mode, mtimeSec, mtimeNsec, uid, gid }: Entry,
  xattrs: readonly Xattr[],
): TaskMetadata {
  return { mode, mtimeSec, mtimeNsec, uid, gid, xattrs }
}

/** A file that is written in one go. A state follows the path of one that `isUnsure`. */
export function wholeFileTask(
  path: Uint8Array,
  metadata: TaskMetadata,
  { slot, parts, isUnsure }: { readonly slot: number; readonly parts: number; readonly isUnsure: boolean },
): WriteTask & { kind: 'file' } {
  const pathBytes = path.length
  return { kind: 'file', pathBytes, parts, offset: 0, isPiece: false, slot, isUnsure, metadata }
}

/**
 * The blocks of a file of which nothing needs to be looked up; undefined for others. Most files are such, and a step of a
 * generator that could wait costs as much as all of this.
 */
export function partsOfSmall({
  content,
  inline,
  sizeBytes,
  holes,
}: FileEntry): readonly FilePart[] | undefined {
  if (holes !== undefined) return undefined
  if (content === undefined || sizeBytes === 0) return []
  if (content.code !== RAW) return undefined
  const part = { cid: content, lengthBytes: sizeBytes }
  return [inline === undefined ? part : { ...part, inline }]
}
