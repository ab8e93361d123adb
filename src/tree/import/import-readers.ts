/**
 * The read threads of an import, from the main thread: gives each its batches and its part of large files, and starts as
 * many as there is work for. The first starts with the scan, since nearly every tree has something to read, and what it
 * needs for that is what the import would wait for.
 */
import os from 'node:os'
import type { Progress } from '../progress.ts'
import type { SpoolBatch } from '../spool/spool.ts'
import type { BlockBroker } from './block-broker.ts'
import type { ImportBacking } from './import-backing.ts'
import type { ImportPlan, ReadTask } from './import-plan.ts'
import type { ReadAnswer, ReadInput, ReadQuestion } from './import-threads.ts'
import type { Help, SharedFiles } from './shared-files.ts'

const MAX_WORKERS = 4
/** A thread costs tens of milliseconds to start, which is what reading so much takes. */
const BYTES_PER_WORKER = 64 * 1024 * 1024

export interface ImportReaders {
  /** A batch was added to the plan. */
  onBatch(batch: SpoolBatch): void
  /** All of them have ended, once the plan has. */
  ended(): Promise<unknown>
}

export function createImportReaders(
  {
    plan,
    shared,
    broker,
    backing,
    progress,
    openFile,
    start,
    fail,
  }: {
    readonly plan: ImportPlan
    readonly shared: SharedFiles
    readonly broker: BlockBroker
    readonly backing: ImportBacking | undefined
    readonly progress: Progress
    /** A temporary file. */
    readonly openFile: (name: string) => number
    readonly start: (
      input: ReadInput,
      answer: (question: ReadQuestion) => Promise<ReadAnswer>,
    ) => Promise<void>
    readonly fail: (error: unknown) => void
  },
  {
    input,
    workers,
  }: { readonly input: Omit<ReadInput, 'resultsFd' | 'spansFd'>; readonly workers: number | undefined },
): ImportReaders {
  const maxReaders = Math.max(1, workers ?? Math.min(MAX_WORKERS, os.availableParallelism()))
  const readers: Promise<void>[] = []

  function startReader(): void {
    const reader = readers.length
    const resultsFd = openFile('read')
    const spansFd = openFile('spans')
    let reading: ReadTask | undefined
    let helping: Help | undefined

    async function nextTask({ read, found }: Extract<ReadQuestion, { kind: 'next' }>): Promise<ReadAnswer> {
      if (found !== undefined) helping?.report(found)
      if (read !== undefined && reading !== undefined) {
        plan.finishRead(reading.number, { fd: resultsFd, ...read })
        progress.add('read', reading.batch.reads, 0)
      }
      helping = undefined
      reading = undefined
      const task = await plan.nextToRead()
      if (task === undefined) return { kind: 'batch' }
      if ('batch' in task) {
        reading = task
        return { kind: 'batch', batch: task.batch }
      }
      helping = task
      return { kind: 'help', file: task.file }
    }

    const done = start({ ...input, resultsFd, spansFd }, async (question) => {
      switch (question.kind) {
        case 'progress':
          progress.add('read', 0, question.bytes)
          return undefined
        case 'back':
          await backing?.commit(question.files)
          return undefined
        case 'next':
          return nextTask(question)
        case 'share':
          shared.open(reader, question.file)
          plan.wake()
          return undefined
        case 'gather':
          return { kind: 'gathered', reports: await shared.close(reader) }
        default:
          return broker.answer(question)
      }
    })
    done.catch(fail)
    readers.push(done)
  }

  startReader()
  return {
    onBatch({ reads, bytes }) {
      if (reads === 0) return
      const wanted = plan.unread + Math.floor(bytes / BYTES_PER_WORKER)
      while (readers.length < Math.min(maxReaders, wanted)) startReader()
    },
    ended: () => Promise.all(readers),
  }
}
