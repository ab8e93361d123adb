/**
 * The thread of lender-thread.ts. Reads of one message go on side by side, as many as libuv has threads: a disk is kept busy.
 * What has been read is verified, and goes back together with what else is ready in this turn of the loop.
 */
import fs from 'node:fs'
import { promisify } from 'node:util'
import { parentPort } from 'node:worker_threads'
import { cidFromKeyBytes, isBlockOf } from '../block/cid.ts'
import type { ReadJob, ReadReply } from './lender-thread.ts'

const readAsync = promisify(fs.read)
let ready: ReadReply[] = []

parentPort!.on('message', (jobs: readonly ReadJob[]) => {
  for (const job of jobs) void run(job)
})

async function run({ id, slab, runs, blocks }: ReadJob): Promise<void> {
  const bytes = new Uint8Array(slab)
  const ends = await Promise.all(runs.map((each) => readRun(bytes, each)))
  const isRight = blocks.map(
    ({ key, at, lengthBytes, run }) =>
      at + lengthBytes <= ends[run]! && isBlockOf(cidFromKeyBytes(key), bytes.subarray(at, at + lengthBytes)),
  )
  if (ready.length === 0) setImmediate(sendReady)
  ready.push({ id, slab, isRight })
}

function sendReady(): void {
  const replies = ready
  ready = []
  parentPort!.postMessage(
    replies,
    replies.map(({ slab }) => slab),
  )
}

/** Where what could be read ends. A disk that fails, and a pack that a collection took away, are the store's to tell of. */
async function readRun(
  into: Uint8Array,
  { path, startByte, lengthBytes, at }: ReadJob['runs'][number],
): Promise<number> {
  let count = 0
  let fd: number | undefined
  try {
    fd = fs.openSync(path, 'r')
    while (count < lengthBytes) {
      const { bytesRead } = await readAsync(fd, into, at + count, lengthBytes - count, startByte + count)
      if (bytesRead === 0) break
      count += bytesRead
    }
  } catch {
    // As it says above.
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
  return at + count
}
