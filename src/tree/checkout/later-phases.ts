/**
 * What a check-out does once all directories and contents are written, in phases: the users' own, large files, hard links and what
 * their files look like, then the metadata of directories, innermost first. Each is read from what the walk left in temporary
 * files, so it is not looked at before the one before it is written.
 */
import { MirrorError } from '../../base/errors.ts'
import type { LocalPaths } from '../local/local-paths.ts'
import type { RecordWindow } from '../spool/record-bytes.ts'
import { createRecordReader } from '../spool/record-bytes.ts'
import type { WriteTask } from './checkout-threads.ts'
import type { FirstNames } from './first-names.ts'
import { NO_SLOT, readAllWaiting, readWaiting } from './waiting-records.ts'

export interface Phase {
  readonly tasks: Iterable<PlannedTask>
  /** One batch at a time. */
  readonly isInOrder?: boolean
}

/** With its strings. */
export type PlannedTask = readonly [task: WriteTask, strings: readonly Uint8Array[]]

/** Of a record of a directory: it is the first. */
export const NO_RECORD = -1

export interface LaterPhases {
  readonly local: Pick<LocalPaths, 'paths'>
  /** Records that wait, all of them written. */
  readonly pieced: WaitingFile
  readonly links: WaitingFile
  /** Each says first where the one before it starts. */
  readonly directories: WaitingFile & { readonly lastByte: number }
  readonly firstNames: Pick<FirstNames, 'all'>
  /** What files look like is noted. */
  readonly withStates: boolean
}

interface WaitingFile {
  readonly fd: number
  readonly endByte: number
}

export function* laterPhases({
  local,
  pieced,
  links,
  directories,
  firstNames,
  withStates,
}: LaterPhases): Generator<Phase, void, undefined> {
  // All directories of the snapshot are there by now: what is made for a local path is made for it alone.
  yield { tasks: local.paths.map((path): PlannedTask => [{ kind: 'local', pathBytes: path.length }, [path]]) }
  // A name that is made before its file is sealed would be seen in the state of the file.
  yield { tasks: sealFiles(pieced) }
  yield { tasks: makeLinks(links) }
  if (withStates) {
    yield { tasks: noteFirstNames(firstNames) }
    yield { tasks: noteLinks(links) }
  }
  // Innermost first: a parent without write or search permission closes the way to its children.
  yield { tasks: sealDirectories(directories), isInOrder: true }
}

function* sealFiles({ fd, endByte }: WaitingFile): Generator<PlannedTask, void, undefined> {
  for (const { a: path, slot, metadata } of readAllWaiting(fd, endByte))
    yield [{ kind: 'seal', pathBytes: path.length, isDirectory: false, slot, metadata }, [path]]
}

function* makeLinks({ fd, endByte }: WaitingFile): Generator<PlannedTask, void, undefined> {
  for (const next of readAllWaiting(fd, endByte)) {
    const { a: existing, b: path, type, major, minor, metadata } = next
    if (type === 'directory') throw new MirrorError('internal', 'a directory waits to be linked')
    const task = {
      kind: 'link',
      pathBytes: path.length,
      existingBytes: existing.length,
      type,
      major,
      minor,
      metadata,
    } as const
    yield [task, [path, existing]]
  }
}

function* noteFirstNames(firstNames: Pick<FirstNames, 'all'>): Generator<PlannedTask, void, undefined> {
  for (const { path, slot, names } of firstNames.all()) {
    if (names === 1 || slot === NO_SLOT) continue
    yield [{ kind: 'state', pathBytes: path.length, slot, firstSlot: slot, names }, [path]]
  }
}

function* noteLinks({ fd, endByte }: WaitingFile): Generator<PlannedTask, void, undefined> {
  for (const { b: path, type, slot, firstSlot } of readAllWaiting(fd, endByte))
    if (type === 'file') yield [{ kind: 'state', pathBytes: path.length, slot, firstSlot }, [path]]
}

function* sealDirectories({
  fd,
  endByte,
  lastByte,
}: LaterPhases['directories']): Generator<PlannedTask, void, undefined> {
  const window: RecordWindow = {}
  for (let start = lastByte, end = endByte; start !== NO_RECORD; ) {
    const from = createRecordReader(fd, start, end, window)
    end = start
    start = from.whole()
    const { a: path, metadata } = readWaiting(from)
    yield [{ kind: 'seal', pathBytes: path.length, isDirectory: true, slot: NO_SLOT, metadata }, [path]]
  }
}
