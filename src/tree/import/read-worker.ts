import type { BackedFile } from '../../store/block-backings.ts'
import { asBuffer, joinPath, parentPath } from '../path-bytes.ts'
import type { RecordWindow } from '../spool/record-bytes.ts'
import { createRecordReader, createRecordWriter } from '../spool/record-bytes.ts'
import type { SpoolBatch } from '../spool/spool.ts'
import { readSpoolRecord } from '../spool/spool.ts'
import { copyResult, findStored } from '../stat-cache/known-results.ts'
import type { Asking } from '../thread.ts'
import { runThread } from '../thread.ts'
import type { BackedReader } from './backed-reader.ts'
import { createBackedReader } from './backed-reader.ts'
import type { BlockAnswer, BlockQuestion } from './block-questions.ts'
import { createBlockSink } from './block-sink.ts'
import type { ContentReader, Sharing } from './content-reader.ts'
import { createContentReader } from './content-reader.ts'
import type { ReadAnswer, ReadInput, ReadQuestion, ReadRange } from './import-threads.ts'
import { createTrail } from './trail.ts'

const PROGRESS_BYTES = 32 * 1024 * 1024

runThread<ReadInput, ReadQuestion, ReadAnswer, void>((input, main) => {
  const { root, spoolFd, resultsFd, spansFd, spanBytes, chunker } = input
  const { compression, isPrivate, isInPlace, knownFd } = input
  const sink = createBlockSink(main as Asking<BlockQuestion, BlockAnswer>, { compression, isPrivate })
  const results = createRecordWriter(resultsFd)
  const window: RecordWindow = {}
  const knownWindow: RecordWindow = {}
  const trail = createTrail(asBuffer(root))
  let unreportedBytes = 0
  const onBytes = (bytes: number): void => {
    unreportedBytes += bytes
    if (unreportedBytes < PROGRESS_BYTES) return
    main.ask({ kind: 'progress', bytes: unreportedBytes })
    unreportedBytes = 0
  }
  const commit = (files: readonly BackedFile[]): (() => void) => main.post({ kind: 'back', files })
  const sharing: Sharing = {
    spanBytes,
    isStored: true,
    records: { fd: spansFd, out: createRecordWriter(spansFd) },
    share(file) {
      main.ask({ kind: 'share', file })
      return () => {
        const answer = main.ask({ kind: 'gather' })
        return answer?.kind === 'gathered' ? answer.reports : []
      }
    },
  }
  const options = { chunker, onBytes, sharing }
  const reader: BackedReader = isInPlace
    ? createBackedReader({ sink, results, resultsFd, commit }, options)
    : copyingReader(createContentReader({ sink, results }, options))

  function lookUp(keys: Uint8Array): Uint8Array {
    const answer = main.ask({ kind: 'look-up', keys })
    return answer?.kind === 'looked-up' ? answer.stored : new Uint8Array()
  }

  /** Takes the results of a batch that are known, in order, as far as their blocks are stored. */
  function createKnown({ known }: SpoolBatch): () => boolean {
    if (knownFd === undefined || known.endByte === known.startByte) return () => false
    const open = () => createRecordReader(knownFd, known.startByte, known.endByte, knownWindow)
    const isStored = findStored(open(), lookUp)
    const from = open()
    let files = 0
    return () => {
      const isHere = isStored[files++] === true
      copyResult(from, isHere ? results : undefined)
      return isHere
    }
  }

  function readBatch(batch: SpoolBatch): ReadRange {
    const startByte = results.position
    const records = createRecordReader(spoolFd, batch.startByte, batch.endByte, window)
    const takeKnown = createKnown(batch)
    let below = asBuffer(batch.dir)
    trail.goTo(batch.dir)
    while (!records.isAtEnd) {
      const record = readSpoolRecord(records)
      if (record.kind === 'enter') {
        // The root's own record comes first, and the trail stands there.
        if (record.name.length > 0) trail.enter(record.name)
        below = joinPath(below, record.name)
      } else if (record.kind === 'leave') {
        trail.leave()
        below = parentPath(below)
      } else if (record.kind === 'file' && record.isRead) {
        if (record.isKnown && takeKnown()) {
          unreportedBytes += record.sizeBytes
          continue
        }
        const { name } = record
        const locate = (): Buffer => (name.length === 0 ? asBuffer(root) : trail.path(name))
        reader.read(locate, () => joinPath(below, name), record)
      }
    }
    reader.flush()
    results.flush()
    return { startByte, endByte: results.position }
  }

  function reportBytes(): void {
    main.ask({ kind: 'progress', bytes: unreportedBytes })
    unreportedBytes = 0
  }

  let next: ReadQuestion = { kind: 'next' }
  for (;;) {
    const answer = main.ask(next)
    if (answer?.kind === 'help') {
      next = { kind: 'next', found: reader.help(answer.file) }
    } else if (answer?.kind === 'batch' && answer.batch !== undefined) {
      next = { kind: 'next', read: readBatch(answer.batch) }
    } else break
    reportBytes()
  }
  trail.close()
  reader.finish()
  sink.finish()
})

function copyingReader({ read, help, flush, finish }: ContentReader): BackedReader {
  return { read: (locate, _, record) => void read(locate, record), help, flush, finish }
}
