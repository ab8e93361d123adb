import type { BackedFile } from '../store/block-backings.ts'
import type { BackedReader } from './backed-reader.ts'
import { createBackedReader } from './backed-reader.ts'
import type { BlockAnswer, BlockQuestion } from './block-questions.ts'
import { createBlockSink } from './block-sink.ts'
import type { ContentReader } from './content-reader.ts'
import { createContentReader } from './content-reader.ts'
import type { ReadAnswer, ReadInput, ReadQuestion, ReadRange } from './import-threads.ts'
import { asBuffer, joinPath, parentPath } from './path-bytes.ts'
import type { RecordWindow } from './record-bytes.ts'
import { createRecordReader, createRecordWriter } from './record-bytes.ts'
import type { SpoolBatch } from './spool.ts'
import { readSpoolRecord } from './spool.ts'
import type { Asking } from './thread.ts'
import { runThread } from './thread.ts'

const PROGRESS_BYTES = 32 * 1024 * 1024

runThread<ReadInput, ReadQuestion, ReadAnswer, void>((input, main) => {
  const { root, spoolFd, resultsFd, chunker, compression, isInPlace } = input
  const sink = createBlockSink(main as Asking<BlockQuestion, BlockAnswer>, { compression })
  const results = createRecordWriter(resultsFd)
  const window: RecordWindow = {}
  let unreportedBytes = 0
  const onBytes = (bytes: number): void => {
    unreportedBytes += bytes
    if (unreportedBytes < PROGRESS_BYTES) return
    main.ask({ kind: 'progress', bytes: unreportedBytes })
    unreportedBytes = 0
  }
  const commit = (files: readonly BackedFile[]): (() => void) => main.post({ kind: 'back', files })
  const reader: BackedReader = isInPlace
    ? createBackedReader({ sink, results, resultsFd, commit }, { chunker, onBytes })
    : copyingReader(createContentReader({ sink, results }, { chunker, onBytes }))

  function readBatch(batch: SpoolBatch): ReadRange {
    const startByte = results.position
    const records = createRecordReader(spoolFd, batch.startByte, batch.endByte, window)
    let below = asBuffer(batch.dir)
    while (!records.isAtEnd) {
      const record = readSpoolRecord(records)
      if (record.kind === 'enter') below = joinPath(below, record.name)
      else if (record.kind === 'leave') below = parentPath(below)
      else if (record.kind === 'file' && record.isRead) {
        const path = joinPath(below, record.name)
        reader.read(joinPath(root, path), path, record)
      }
    }
    reader.flush()
    results.flush()
    return { startByte, endByte: results.position }
  }

  let read: ReadRange | undefined
  for (;;) {
    const answer = main.ask(read === undefined ? { kind: 'next' } : { kind: 'next', read })
    if (answer?.kind !== 'batch' || answer.batch === undefined) break
    read = readBatch(answer.batch)
    main.ask({ kind: 'progress', bytes: unreportedBytes })
    unreportedBytes = 0
  }
  reader.finish()
  sink.finish()
})

function copyingReader({ read, flush, finish }: ContentReader): BackedReader {
  return { read: (path, _, record) => void read(path, record), flush, finish }
}
