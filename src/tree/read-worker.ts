import type { BlockAnswer, BlockQuestion } from './block-questions.ts'
import { createBlockSink } from './block-sink.ts'
import { createContentReader } from './content-reader.ts'
import type { ReadAnswer, ReadInput, ReadQuestion, ReadRange } from './import-threads.ts'
import { asBuffer } from './path-bytes.ts'
import { createRecordReader, createRecordWriter } from './record-bytes.ts'
import type { SpoolBatch } from './spool.ts'
import { readSpoolRecord } from './spool.ts'
import type { Asking } from './thread.ts'
import { runThread } from './thread.ts'
import { createTrail } from './trail.ts'

const PROGRESS_BYTES = 32 * 1024 * 1024

runThread<ReadInput, ReadQuestion, ReadAnswer, void>(({ root, spoolFd, resultsFd, chunker }, main) => {
  const sink = createBlockSink(main as Asking<BlockQuestion, BlockAnswer>)
  const results = createRecordWriter(resultsFd)
  const trail = createTrail(asBuffer(root))
  let unreportedBytes = 0
  const reader = createContentReader(
    { sink, results },
    {
      chunker,
      onBytes(bytes) {
        unreportedBytes += bytes
        if (unreportedBytes < PROGRESS_BYTES) return
        main.ask({ kind: 'progress', bytes: unreportedBytes })
        unreportedBytes = 0
      },
    },
  )

  function readBatch(batch: SpoolBatch): ReadRange {
    const startByte = results.position
    const records = createRecordReader(spoolFd, batch.startByte, batch.endByte)
    trail.goTo(batch.dir)
    while (!records.isAtEnd) {
      const record = readSpoolRecord(records)
      if (record.kind === 'enter') {
        // The root's own record comes first, and the trail stands there.
        if (record.name.length > 0) trail.enter(record.name)
      } else if (record.kind === 'leave') trail.leave()
      else if (record.kind === 'file' && record.isRead) {
        const { name } = record
        reader.read(() => (name.length === 0 ? asBuffer(root) : trail.path(name)), record)
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
  trail.close()
  reader.finish()
  sink.finish()
})
