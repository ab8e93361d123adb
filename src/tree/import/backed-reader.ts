/**
 * A content reader that leaves chunks where they are: what it read of a stable file is committed as blocks of that file
 * (store/block-backings.ts). Two readers share the work. One cuts and hashes and stores nothing; the other stores into
 * packs, and takes what is better copied: small files, and files that changed while they were read, whose blocks would
 * be missing at once.
 */
import fs from 'node:fs'
import { CID_KEY_BYTES, RAW } from '../../block/cid.ts'
import type { BackedBlock, BackedFile, FileIdentity } from '../../store/block-backings.ts'
import { reasonOf } from '../reason.ts'
import { mtimeNsOf } from '../spool/inode.ts'
import { readPart, readReadExtras, readReadHeader } from '../spool/read-results.ts'
import type { RecordWriter } from '../spool/record-bytes.ts'
import { createRecordReader } from '../spool/record-bytes.ts'
import type { BlockSink } from './block-sink.ts'
import type { FileRecord } from './content-reader.ts'
import { createContentReader } from './content-reader.ts'
import type { SharedFile, SpanReport } from './file-spans.ts'

/**
 * A smaller file is copied. The index takes about 130 bytes more for a block in a file of its own than for one in a
 * pack, and reading it an open; of a kernel tree, files below this are under 1 % of the bytes.
 */
export const SMALLEST_BACKED_BYTES = 1024
const COMMIT_BLOCKS = 4096

export interface BackedReader {
  /** Writes one result. @param below its path below the backing's */
  read(locate: () => Buffer, below: () => Buffer, record: FileRecord): void
  /** See ContentReader. */
  help(file: SharedFile): SpanReport
  /** Of a batch: its results are written by then. */
  flush(): void
  /** Everything is stored, or committed where it lies. */
  finish(): void
}

interface Read {
  readonly below: Buffer
  readonly identity: FileIdentity
}

const NO_SINK: BlockSink = { offer: () => () => undefined, finish: () => undefined }

export function createBackedReader(
  {
    sink,
    results,
    resultsFd,
    commit,
  }: {
    readonly sink: BlockSink
    readonly results: RecordWriter
    readonly resultsFd: number
    /** The returned function waits until they are committed. */
    readonly commit: (files: readonly BackedFile[]) => () => void
  },
  options: Parameters<typeof createContentReader>[1],
): BackedReader {
  const { sharing, chunker } = options
  const smallestBytes = Math.max(SMALLEST_BACKED_BYTES, (chunker.inlineBytes ?? 0) + 1)
  const inPlace = createContentReader(
    { sink: NO_SINK, results },
    { ...options, ...(sharing === undefined ? {} : { sharing: { ...sharing, isStored: false } }) },
  )
  const copying = createContentReader({ sink, results }, options)
  let batchAt = results.position
  /** Of each result of the batch, in order; undefined for what was copied or failed. */
  let batch: (Read | undefined)[] = []
  let files: BackedFile[] = []
  let blocks = 0
  let committed: () => void = () => undefined

  function readInPlace(
    locate: () => Buffer,
    below: () => Buffer,
    record: FileRecord,
  ): Read | 'copy' | undefined {
    const headerAt = results.position
    const header = inPlace.read(locate, record)
    if (header.status === 'failed') return undefined
    const identity = header.status === 'captured' ? identityOf(locate) : undefined
    if (identity?.sizeBytes === header.sizeBytes && identity.mtimeNs === mtimeNsOf(header.inode))
      return { below: below(), identity }
    results.rewind(headerAt)
    return 'copy'
  }

  function commitFiles(): void {
    if (files.length === 0) return
    committed()
    committed = commit(files)
    files = []
    blocks = 0
  }

  function collect(): void {
    const reader = createRecordReader(resultsFd, batchAt, results.position)
    for (const read of batch) {
      const header = readReadHeader(reader)
      let found: BackedBlock[] = []
      const take = (): void => {
        if (read !== undefined) files.push({ ...read, below: new Uint8Array(read.below), blocks: found })
        found = []
        if (blocks >= COMMIT_BLOCKS) commitFiles()
      }
      readReadExtras(reader, header.extras)
      let offset = 0
      for (let part = 0; part < header.parts; part++) {
        const { digest, lengthBytes, count } = readPart(reader)
        const key = new Uint8Array(CID_KEY_BYTES)
        key[0] = RAW
        key.set(digest, 1)
        found.push({ key, offset, lengthBytes })
        // What repeats, as zeros do, is there once.
        offset += lengthBytes * count
        blocks += 1
        if (found.length === COMMIT_BLOCKS) take()
      }
      if (found.length > 0) take()
    }
  }

  return {
    read(locate, below, record) {
      const read = record.sizeBytes < smallestBytes ? 'copy' : readInPlace(locate, below, record)
      if (read === 'copy') copying.read(locate, record)
      batch.push(read === 'copy' ? undefined : read)
    },
    help: (file) => (file.isStored ? copying : inPlace).help(file),
    flush() {
      inPlace.flush()
      copying.flush()
      results.flush()
      collect()
      batch = []
      batchAt = results.position
    },
    finish() {
      inPlace.finish()
      copying.finish()
      commitFiles()
      committed()
    },
  }
}

/** Undefined when it is not what was read any more. */
function identityOf(locate: () => Buffer): FileIdentity | undefined {
  let stat: fs.BigIntStats | undefined
  try {
    stat = fs.lstatSync(locate(), { bigint: true, throwIfNoEntry: false })
  } catch (error) {
    reasonOf(error) // a defect flies on
    return undefined
  }
  if (stat?.isFile() !== true) return undefined
  const { dev, ino, size, mtimeNs, ctimeNs } = stat
  return { dev, ino, sizeBytes: Number(size), mtimeNs, ctimeNs }
}
