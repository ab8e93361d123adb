/**
 * Reads a stat cache side by side with a walk of the tree that it is of: both are in walk order, so memory stays flat.
 * The walk says what it meets and when it leaves a directory; the cursor answers whether that is as it was. A cache
 * that breaks off or is damaged ends there: from then on nothing is as it was.
 */

import type { RecordReader, RecordWriter } from '../spool/record-bytes.ts'
import type { SpoolRecord } from '../spool/spool.ts'
import { readSpoolRecord } from '../spool/spool.ts'
import { STAT_KEY_BYTES } from '../spool/stat-key.ts'
import type { CacheFile } from './file.ts'
import { CACHE_KIND, ENTRY_HEADER_BYTES, HAS_RESULT, IS_TRUSTED } from './records.ts'

const COPY_BYTES = 64 * 1024

export interface StatCacheCursor {
  /**
   * The walk stands before this entry of the directory that it is in. True when the entry is as the cache has it. A
   * directory is entered by it, on both sides, whether it is as it was or not.
   * @param name one character a byte; the root's is empty
   * @param key stat-key.ts
   */
  meet(name: string, isDirectory: boolean, key: Buffer): boolean
  /** Of the entry just met, when that was as it was: undefined when the cache breaks off in it. */
  take(): SpoolRecord | undefined
  /** After `take`: appends the result of reading it. False when the cache has none. */
  takeResult(out: RecordWriter): boolean
  /** The walk leaves the directory that it is in. */
  leave(): void
  /** Entries of the cache that the walk did not meet so far; the whole rest counts as one. */
  readonly passedOver: number
  /** The walk has ended and so has the cache. */
  readonly isAtEnd: boolean
}

export function createStatCacheCursor(cache: CacheFile): StatCacheCursor {
  const from: RecordReader = cache.read()
  /** The record that the cursor stands before; its body and its result are still to be read or skipped. */
  let kind: number = CACHE_KIND.end
  let flags = 0
  let name = ''
  const key = Buffer.alloc(STAT_KEY_BYTES)
  let bodyBytes = 0
  let resultBytes = 0
  /** The record ahead was met, or was the end of a directory that was left: to be stepped over. */
  let hasMet = false
  /** Directories that the walk is in and the cache is not. */
  let absentDepth = 0
  let passedOver = 0
  let isOver = false

  function skip(bytes: number): void {
    for (let left = bytes; left > 0; left -= COPY_BYTES) from.view(Math.min(left, COPY_BYTES))
  }

  function advance(): void {
    skip(bodyBytes + resultBytes)
    bodyBytes = 0
    resultBytes = 0
    kind = from.u8()
    if (kind !== CACHE_KIND.directory && kind !== CACHE_KIND.other) return
    const header = from.view(ENTRY_HEADER_BYTES)
    flags = header[0]!
    const nameBytes = header.readUInt16LE(1)
    bodyBytes = header.readUInt32LE(3)
    resultBytes = header.readDoubleLE(7)
    header.copy(key, 0, ENTRY_HEADER_BYTES - STAT_KEY_BYTES)
    name = from.view(nameBytes).toString('latin1')
  }

  function isEntry(): boolean {
    return kind === CACHE_KIND.directory || kind === CACHE_KIND.other
  }

  /** Passes over the entry ahead, with all that lies below it. */
  function passOver(): void {
    passedOver += 1
    let depth = kind === CACHE_KIND.directory ? 1 : 0
    advance()
    for (; depth > 0; advance()) {
      if (kind === CACHE_KIND.end) throw new RangeError('a stat cache ends within a directory')
      if (kind === CACHE_KIND.directory) depth += 1
      else if (kind === CACHE_KIND.leave) depth -= 1
    }
  }

  /** What the cache no longer has is not there: a broken cache is never an error. */
  function guarded<T>(work: () => T, otherwise: T): T {
    if (isOver) return otherwise
    try {
      return work()
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      isOver = true
      passedOver += 1
      return otherwise
    }
  }

  function meetOutside(isDirectory: boolean): boolean {
    if (isDirectory) absentDepth += 1
    return false
  }

  guarded(advance, undefined)
  return {
    meet(met, isDirectory, metKey) {
      if (absentDepth > 0) return meetOutside(isDirectory)
      const isSame = guarded<boolean | undefined>(() => {
        // The entry met before is done with, unless it was a directory that was entered.
        if (hasMet) advance()
        hasMet = false
        while (isEntry() && name < met) passOver()
        if (!isEntry() || name !== met) return false
        if (isDirectory !== (kind === CACHE_KIND.directory)) {
          passOver()
          return false
        }
        hasMet = true
        return undefined
      }, false)
      if (isSame === false) return meetOutside(isDirectory)
      return (flags & IS_TRUSTED) !== 0 && key.equals(metKey)
    },
    take: () =>
      guarded(() => {
        bodyBytes = 0
        return readSpoolRecord(from)
      }, undefined),
    takeResult(out) {
      if ((flags & HAS_RESULT) === 0) return false
      const start = out.position
      return guarded(() => {
        try {
          let left = resultBytes
          resultBytes = 0
          for (; left > 0; left -= COPY_BYTES) out.bytes(from.view(Math.min(left, COPY_BYTES)))
          return true
        } catch (error) {
          out.rewind(start)
          throw error
        }
      }, false)
    },
    leave() {
      if (absentDepth > 0) {
        absentDepth -= 1
        return
      }
      guarded(() => {
        if (hasMet) advance()
        hasMet = false
        while (isEntry()) passOver()
        if (kind !== CACHE_KIND.leave) throw new RangeError('a stat cache ends within a directory')
        hasMet = true
      }, undefined)
    },
    get passedOver() {
      return passedOver
    },
    get isAtEnd() {
      return guarded(() => {
        if (hasMet) advance()
        hasMet = false
        return kind === CACHE_KIND.end && absentDepth === 0
      }, false)
    },
  }
}
