import os from 'node:os'
import { MirrorError } from '../../base/errors.ts'
import { runThread } from '../thread.ts'
import type { WriteAnswer, WriteInput, WriteQuestion, WriteReport } from './checkout-threads.ts'
import { createPackReader } from './pack-reader.ts'
import type { WriteContext } from './write-tasks.ts'
import { writeBatch } from './write-tasks.ts'

runThread<WriteInput, WriteQuestion, WriteAnswer, void>((input, main) => {
  if (input.isBehind === true) stepBehind()
  const packs = createPackReader()
  const newInodes = new Map<string, Buffer>()
  const askBlock = (key: Uint8Array): Uint8Array => {
    const answer = main.ask({ kind: 'block', key })
    if (answer.kind !== 'block') throw new MirrorError('internal', 'a block was asked for and not given')
    return answer.bytes
  }
  const context: WriteContext = {
    packs,
    askBlock,
    newInodes,
    maker: { uid: process.geteuid?.(), gid: process.getegid?.() },
    isMadeAsAsked: true,
    isReserving: undefined,
  }
  let report: WriteReport | undefined
  for (;;) {
    const answer = main.ask(report === undefined ? { kind: 'next' } : { kind: 'next', report })
    if (answer.kind !== 'batch' || answer.batch === undefined) break
    report = writeBatch(answer.batch, input, context)
  }
  packs.close()
})

const LOW_PRIORITY = 5

/** Linux takes the process 0 for the calling thread. */
function stepBehind(): void {
  try {
    os.setPriority(0, LOW_PRIORITY)
  } catch {
    // A system that does not let it be gets its work done all the same.
  }
}
