import type { BlockAnswer, BlockQuestion } from './block-questions.ts'
import { createBlockSink } from './block-sink.ts'
import { createContentReader } from './content-reader.ts'
import type { ReadAnswer, ReadInput, ReadQuestion, ReadRange } from './import-threads.ts'
import { copyResult, findStored } from './known-results.ts'
import { asBuffer, joinPath, parentPath } from './path-bytes.ts'
import { createRecordReader, createRecordWriter } from './record-bytes.ts'
import type { SpoolBatch } from './spool.ts'
import { readSpoolRecord } from './spool.ts'
import type { Asking } from './thread.ts'
import { runThread } from './thread.ts'

const PROGRESS_BYTES = 32 * 1024 * 1024

runThread<ReadInput, ReadQuestion, ReadAnswer, void>(
  ({ root, spoolFd, resultsFd, chunker, knownFd }, main) => {
    const sink = createBlockSink(main as Asking<BlockQuestion, BlockAnswer>)
    const results = createRecordWriter(resultsFd)
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

    function lookUp(keys: Uint8Array): Uint8Array {
      const answer = main.ask({ kind: 'look-up', keys })
      return answer?.kind === 'looked-up' ? answer.stored : new Uint8Array()
    }

    function readBatch(batch: SpoolBatch): ReadRange {
      const startByte = results.position
      const records = createRecordReader(spoolFd, batch.startByte, batch.endByte)
      let below = asBuffer(batch.dir)
      const { known } = batch
      const hasKnown = knownFd !== undefined && known.endByte > known.startByte
      const openKnown = (fd: number) => createRecordReader(fd, known.startByte, known.endByte)
      const isStored = hasKnown ? findStored(openKnown(knownFd), lookUp) : []
      const knownResults = hasKnown ? openKnown(knownFd) : undefined
      let knownFiles = 0
      while (!records.isAtEnd) {
        const record = readSpoolRecord(records)
        if (record.kind === 'enter') below = joinPath(below, record.name)
        else if (record.kind === 'leave') below = parentPath(below)
        else if (record.kind === 'file' && record.isRead) {
          if (record.isKnown && knownResults !== undefined) {
            const isHere = isStored[knownFiles++] === true
            copyResult(knownResults, isHere ? results : undefined)
            if (isHere) {
              unreportedBytes += record.sizeBytes
              continue
            }
          }
          reader.read(joinPath(root, joinPath(below, record.name)), record)
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
  },
)
