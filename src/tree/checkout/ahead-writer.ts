/**
 * The one writing thread of a check-out that is written ahead: it is given a batch, and answers when that is written. Its
 * priority is below that of everything else here.
 */
import { printableName } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { cidFromKeyBytes } from '../../block/cid.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { startThread } from '../thread.ts'
import type { WriteAnswer, WriteBatch, WriteInput, WriteQuestion, WriteReport } from './checkout-threads.ts'

export interface AheadWriter {
  /** One at a time. Rejects with what kept the thread from writing it, and from then on always. */
  write(batch: WriteBatch): Promise<WriteReport>
  /** Wherever it is. */
  close(): Promise<void>
}

export function startAheadWriter(blocks: Pick<BlockStore, 'get'>, input: WriteInput): AheadWriter {
  let waiting: ((answer: WriteAnswer) => void) | undefined
  let next: WriteBatch | undefined
  let settle: PromiseWithResolvers<WriteReport> | undefined

  const thread = startThread<WriteInput, WriteQuestion, WriteAnswer, void>(
    new URL('./checkout-worker', import.meta.url),
    input,
    async (question) => {
      if (question.kind === 'block') {
        const cid = cidFromKeyBytes(question.key)
        const bytes = await blocks.get(cid)
        if (bytes !== undefined) return { kind: 'block', bytes }
        throw new MirrorError('not-found', `block ${cid.toString()} is missing`)
      }
      if (question.report !== undefined) settle?.resolve(question.report)
      return new Promise((resolve) => {
        waiting = resolve
        handOver()
      })
    },
    `write ${printableName(input.staging)}`,
  )

  function handOver(): void {
    if (waiting === undefined || next === undefined) return
    const answer = waiting
    const batch = next
    waiting = undefined
    next = undefined
    answer({ kind: 'batch', batch })
  }

  return {
    async write(batch) {
      settle = Promise.withResolvers()
      next = batch
      handOver()
      const ended = thread.done.then((): never => {
        throw new MirrorError('internal', 'a writing thread ended by itself')
      })
      return Promise.race([settle.promise, ended])
    },
    close: () => thread.stop(),
  }
}
