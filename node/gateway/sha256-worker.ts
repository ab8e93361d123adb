/** The thread of sha256-thread.ts. */
import { createHash, type Hash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import type { Sha256Job, Sha256Reply } from './sha256-thread.ts'

const hashes = new Map<number, Hash>()

function answer(reply: Sha256Reply, transfer: readonly ArrayBuffer[] = []): void {
  parentPort!.postMessage(reply, [...transfer])
}

parentPort!.on('message', (job: Sha256Job) => {
  const { id } = job
  const hash = hashes.get(id) ?? createHash('sha256')
  if (job.kind === 'bytes') {
    hashes.set(id, hash.update(job.bytes))
    answer({ id, buffer: job.bytes.buffer }, [job.bytes.buffer])
    return
  }
  hashes.delete(id)
  if (job.kind === 'end') answer({ id, digest: Uint8Array.from(hash.digest()) })
})
