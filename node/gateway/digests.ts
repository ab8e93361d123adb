/**
 * SHA-256 of files, for clients that know no BLAKE3: made by reading the file when somebody asks, in a thread, and kept by CID.
 *
 * Bounded: two files are read at a time, 32 askers wait. Askers for one file share one
 * reading, which ends when the last of them has gone.
 */
import { createHash } from 'node:crypto'
import { MirrorError } from '../../src/base/errors.ts'
import { Semaphore } from '../../src/base/semaphore.ts'
import { type Cid, cidKey } from '../../src/block/cid.ts'
import type { FileEntry } from '../../src/dag/entry.ts'
import type { ReadFile } from './file-response.ts'
import type { KeptDigests } from './kept-digests.ts'
import type { Sha256Thread } from './sha256-thread.ts'

const MAX_AT_A_TIME = 2
const MAX_WAITING = 32

export interface Digests {
  /** Undefined when it would have to be read for it. */
  known(entry: FileEntry): Uint8Array | undefined
  /** A greater number whenever more are known. */
  revision(): number
  /** @throws MirrorError `busy` when too many wait already */
  sha256(entry: FileEntry, readFile: ReadFile, signal: AbortSignal): Promise<Uint8Array>
}

interface Reading {
  readonly digest: Promise<Uint8Array>
  readonly end: AbortController
  askers: number
}

export function createDigests({
  kept,
  thread,
  loaded,
}: {
  readonly kept: Pick<KeptDigests, 'get' | 'set' | 'revision'>
  readonly thread: Pick<Sha256Thread, 'hash'>
  /** What earlier runs left is known by then: no file is read before. */
  readonly loaded?: Promise<void>
}): Digests {
  const readings = new Map<string, Reading>()
  const slots = new Semaphore(MAX_AT_A_TIME)
  const empty = Uint8Array.from(createHash('sha256').digest())

  function read(
    entry: FileEntry,
    content: Cid,
    readFile: ReadFile,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { sizeBytes } = entry
    return slots.run(
      async () => {
        await loaded
        const known = kept.get(content)
        if (known !== undefined) return known
        const pieces = readFile(entry, { startByte: 0, endByte: sizeBytes }, signal, true)
        const digest = await thread.hash(pieces, sizeBytes)
        kept.set(content, digest)
        return digest
      },
      1,
      signal,
    )
  }

  function begin(entry: FileEntry, content: Cid, readFile: ReadFile): Reading {
    if (readings.size >= MAX_AT_A_TIME + MAX_WAITING) {
      throw new MirrorError('busy', 'too many files are being read for their digests')
    }
    const end = new AbortController()
    const key = cidKey(content)
    const digest = read(entry, content, readFile, end.signal)
    const reading: Reading = { digest, end, askers: 0 }
    readings.set(key, reading)
    const forget = (): void => {
      if (readings.get(key) === reading) readings.delete(key)
    }
    digest.then(forget, forget)
    return reading
  }

  return {
    known: ({ content }) => (content === undefined ? empty : kept.get(content)),
    revision: kept.revision,
    async sha256(entry, readFile, signal) {
      const { content } = entry
      if (content === undefined) return empty
      const known = kept.get(content)
      if (known !== undefined) return known
      signal.throwIfAborted()
      // One whose askers have all gone ends: it is nothing to wait for.
      const running = readings.get(cidKey(content))
      const reading =
        running === undefined || running.end.signal.aborted ? begin(entry, content, readFile) : running
      reading.askers++
      const { promise: gone, reject } = Promise.withResolvers<never>()
      const onAbort = (): void => reject(signal.reason)
      signal.addEventListener('abort', onAbort, { once: true })
      try {
        return await Promise.race([reading.digest, gone])
      } finally {
        signal.removeEventListener('abort', onAbort)
        if (--reading.askers === 0)
          reading.end.abort(new MirrorError('aborted', 'nobody asks for the digest any more'))
      }
    },
  }
}
