/**
 * SHA-256 of files, for clients that know no BLAKE3: made by reading the file when somebody asks, and remembered by CID.
 *
 * Bounded: two files are read at a time, 32 askers wait, 65,536 digests are remembered. Askers for one file share one
 * reading, which ends when the last of them has gone.
 */
import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { MirrorError } from '../../src/base/errors.ts'
import { Semaphore } from '../../src/base/semaphore.ts'
import { cidKey } from '../../src/block/cid.ts'
import type { FileEntry } from '../../src/dag/entry.ts'
import type { ReadFile } from './file-response.ts'

const MAX_AT_A_TIME = 2
const MAX_WAITING = 32
const MAX_REMEMBERED = 65_536

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

export function createDigests(): Digests {
  const remembered = new LRUCache<string, Uint8Array>({ max: MAX_REMEMBERED })
  const readings = new Map<string, Reading>()
  let revision = 0
  const slots = new Semaphore(MAX_AT_A_TIME)
  const empty = Uint8Array.from(createHash('sha256').digest())

  async function read(
    entry: FileEntry,
    key: string,
    readFile: ReadFile,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return slots.run(
      async () => {
        const hash = createHash('sha256')
        for await (const piece of readFile(entry, { startByte: 0, endByte: entry.sizeBytes }, signal))
          hash.update(piece)
        const digest = Uint8Array.from(hash.digest())
        remembered.set(key, digest)
        revision++
        return digest
      },
      1,
      signal,
    )
  }

  function begin(entry: FileEntry, key: string, readFile: ReadFile): Reading {
    if (readings.size >= MAX_AT_A_TIME + MAX_WAITING) {
      throw new MirrorError('busy', 'too many files are being read for their digests')
    }
    const end = new AbortController()
    const digest = read(entry, key, readFile, end.signal)
    const reading: Reading = { digest, end, askers: 0 }
    readings.set(key, reading)
    const forget = (): void => {
      if (readings.get(key) === reading) readings.delete(key)
    }
    digest.then(forget, forget)
    return reading
  }

  return {
    known: ({ content }) => (content === undefined ? empty : remembered.get(cidKey(content))),
    revision: () => revision,
    async sha256(entry, readFile, signal) {
      if (entry.content === undefined) return empty
      const key = cidKey(entry.content)
      const known = remembered.get(key)
      if (known !== undefined) return known
      signal.throwIfAborted()
      // One whose askers have all gone ends: it is nothing to wait for.
      const running = readings.get(key)
      const reading =
        running === undefined || running.end.signal.aborted ? begin(entry, key, readFile) : running
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
