/** What was written ahead: the directories whose files are all there, and which files those are. In memory, and bounded. */
import type { Cid } from '../../block/cid.ts'
import { cidKey } from '../../block/cid.ts'
import type { FileEntry } from '../../dag/entry.ts'
import { createFingerprintSet } from '../../dag/fingerprint-set.ts'
import { asBuffer } from '../path-bytes.ts'
import type { AheadFiles } from './ahead-places.ts'

/** 50 bytes each. */
const MAX_DIRECTORIES = 500_000
/** In an update they are known by name: 100 bytes each. */
const MAX_NAMED_FILES = 200_000

export interface WrittenAhead {
  /** Only some of a directory's files are written. */
  readonly isUpdate: boolean
  readonly files: number
  readonly bytes: number
  /** Closed, or begun and never to be closed. */
  isKnown(directory: Cid): boolean
  hasRoomFor(files: number): boolean
  /** Something of it is not as it should be: it is never taken. */
  spoil(directory: Cid): void
  /** These files of it are written, unless it is spoiled. */
  close(directory: Cid, files: readonly FileEntry[]): void
  count(files: number, bytes: number): void
  filesOf(directory: Cid): AheadFiles | undefined
}

export function createWrittenAhead(isUpdate: boolean): WrittenAhead {
  const closed = createFingerprintSet()
  const spoiled = createFingerprintSet()
  const named = new Map<string, ReadonlySet<string>>()
  let namedFiles = 0
  let files = 0
  let bytes = 0
  return {
    isUpdate,
    get files() {
      return files
    },
    get bytes() {
      return bytes
    },
    isKnown: (directory) => closed.has(directory) || spoiled.has(directory),
    hasRoomFor: (more) =>
      closed.size + spoiled.size < MAX_DIRECTORIES && (!isUpdate || namedFiles + more <= MAX_NAMED_FILES),
    spoil: (directory) => void spoiled.add(directory),
    close(directory, of) {
      if (spoiled.has(directory)) return
      closed.add(directory)
      if (!isUpdate) return
      namedFiles += of.length
      named.set(cidKey(directory), new Set(of.map(({ name }) => asBuffer(name).toString('latin1'))))
    },
    count(moreFiles, moreBytes) {
      files += moreFiles
      bytes += moreBytes
    },
    filesOf(directory) {
      if (!closed.has(directory) || spoiled.has(directory)) return undefined
      if (!isUpdate) return () => true
      const names = named.get(cidKey(directory))
      return names && ((name) => names.has(asBuffer(name).toString('latin1')))
    },
  }
}
