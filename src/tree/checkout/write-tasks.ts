/** Carries out the tasks of a check-out's batch, in a writing thread. Creates, never opens what it did not create. */
import fs from 'node:fs'
import { printableName } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { CID_KEY_BYTES } from '../../block/key-bytes.ts'
import { gainsByReserving, reserveSpace } from '../../posix/reserve-space.ts'
import type { SpecialType } from '../../posix/special.ts'
import { makeSpecial } from '../../posix/special.ts'
import { startWriteback, syncFileSystem } from '../../posix/sync.ts'
import { setMtimeOfFd } from '../../posix/times.ts'
import { linkLocal } from '../local/local-tree.ts'
import { FILE_STATE_BYTES, stateFacts } from '../manifest/file-state.ts'
import { createStateWriter } from '../manifest/state-writer.ts'
import { asBuffer, joinPath, splitPath } from '../path-bytes.ts'
import { reasonOf } from '../reason.ts'
import type { Maker, Target } from './apply-metadata.ts'
import { applyMetadata, canBeMadeWhole, isAsMade, ownerReason } from './apply-metadata.ts'
import type { TaskMetadata, WriteBatch, WriteInput, WriteReport, WriteTask } from './checkout-threads.ts'
import { IN_BATCH, MAX_NOT_RESTORED_LISTED } from './checkout-threads.ts'
import { cloneFile } from './clone-file.ts'
import { copyFile } from './copy-file.ts'
import type { PackedBlock, PackReader } from './pack-reader.ts'
import type { Reuse } from './reuse-file.ts'
import { hasContent, takeFile } from './reuse-file.ts'
import { alreadyThere, makeDirectory, makeParents, withParents } from './staging-directories.ts'
import { writeAll, writeAround } from './write-bytes.ts'
import { writeManifest } from './write-manifest.ts'

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants
const PRIVATE = 0o600
const LINK_REASONS: Readonly<Record<string, string>> = {
  EMLINK: 'the file system takes no more links to one inode; those after it are linked to this one (EMLINK)',
}

export interface WriteContext {
  readonly packs: PackReader
  readonly askBlock: (key: Uint8Array) => Uint8Array
  /** Of hard-link groups that outgrew the file system's limit: the latest inode that this thread made, by first path. */
  readonly newInodes: Map<string, Buffer>
  readonly maker: Maker
  /** What a new file gets is what was asked for. A thread that found otherwise does not try again. */
  isMadeAsAsked: boolean
  /** Space on this file system is asked for before it is written to. Undefined until it is known. */
  isReserving: boolean | undefined
}

type FileTask = Extract<WriteTask, { kind: 'file' }>
type AheadTask = Extract<WriteTask, { kind: 'ahead' }>
type TakeTask = Extract<WriteTask, { kind: 'file' | 'reuse' }>

export function writeBatch(
  batch: WriteBatch,
  { staging, ownerMode, devices, inherits, old, clones, stateFd, namesFd, syncFd }: WriteInput,
  context: WriteContext,
): WriteReport {
  const { packs, askBlock, newInodes, maker } = context
  let stringAt = 0
  let blockAt = 0
  let files = 0
  let bytes = 0
  let reusedFiles = 0
  let reusedBytes = 0
  let count = 0
  const refused: { slot: number; isUnsure: boolean }[] = []
  const states = createStateWriter(stateFd)
  const first: { path: string; reason: string }[] = []

  function takeString(length: number): Uint8Array {
    stringAt += length
    return batch.strings.subarray(stringAt - length, stringAt)
  }

  function report(below: Uint8Array, reasons: readonly string[]): void {
    for (const reason of reasons) {
      count += 1
      if (first.length < MAX_NOT_RESTORED_LISTED) {
        first.push({ path: below.length === 0 ? '.' : printableName(below), reason })
      }
    }
  }

  function finish(target: Target, below: Uint8Array, metadata: TaskMetadata): readonly string[] {
    const reasons = applyMetadata(target, metadata, { ownerMode, inherits })
    report(below, reasons)
    return reasons
  }

  /** What is not restored in full is vouched for only if the next check-out can say again what is missing. */
  function noteState(
    slot: number,
    stat: () => fs.BigIntStats,
    { uid, gid }: { uid: number; gid: number },
    reasons: readonly string[],
    names = 1,
  ): void {
    const isOwnerMissing = reasons.length === 1 && reasons[0] === ownerReason(uid, gid)
    if (reasons.length === 0 || isOwnerMissing) states.add(slot, stat(), { names, isOwnerMissing })
  }

  function take(below: Uint8Array, task: TakeTask, state: Buffer, isContentKnown: boolean): boolean {
    const outcome = (clones ? takeClone : takeName)(below, task, state, isContentKnown)
    if (outcome === 'taken') return true
    if (task.kind === 'reuse') refused.push({ slot: task.slot, isUnsure: outcome === 'unsure' })
    return false
  }

  /** A file of its own that shares its place on the disk: metadata is set as on one that was written. */
  function takeClone(below: Uint8Array, task: TakeTask, state: Buffer, isContentKnown: boolean): Reuse {
    return cloneFile({
      from: joinPath(old!, below),
      to: joinPath(staging, below),
      state,
      isContentKnown,
      withParents: (make) => withParents(staging, below, make),
      finish(fd) {
        const reasons = finish({ fd }, below, task.metadata)
        const stat = fs.fstatSync(fd, { bigint: true })
        noteState(task.slot, () => stat, task.metadata, reasons)
        countReused(stat)
      },
    })
  }

  /** Of a file that is whole if it is there: nobody else gets into the staging place. */
  function takeAhead(path: Buffer, below: Uint8Array, { slot, sizeBytes, metadata }: AheadTask): boolean {
    const stat = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false })
    if (stat?.isFile() !== true || Number(stat.size) !== sizeBytes || stat.nlink !== 1n) return false
    const { uid, gid } = metadata
    // The one thing that was left to be said.
    const isOwnerMissing = ownerMode === 'report' && (uid !== maker.uid || gid !== maker.gid)
    // A user may give a file to a group of its own.
    if (isOwnerMissing && uid === maker.uid) return false
    if (isOwnerMissing) report(below, [ownerReason(uid, gid)])
    states.add(slot, stat, { names: 1, isOwnerMissing })
    files += 1
    bytes += sizeBytes
    return true
  }

  function countReused({ size }: fs.BigIntStats): void {
    files += 1
    reusedFiles += 1
    reusedBytes += Number(size)
  }

  function takeName(below: Uint8Array, task: TakeTask, state: Buffer, isContentKnown: boolean): Reuse {
    const { outcome, stat } = takeFile({
      from: joinPath(old!, below),
      to: joinPath(staging, below),
      state,
      isContentKnown,
      xattrs: task.metadata.xattrs,
      makeParents: () => makeParents(staging, below),
    })
    if (outcome === 'taken') {
      const { isOwnerMissing } = stateFacts(state)
      states.add(task.slot, stat!, { names: 1, isOwnerMissing, isTaken: true })
      if (isOwnerMissing) report(below, [ownerReason(task.metadata.uid, task.metadata.gid)])
      countReused(stat!)
    }
    return outcome
  }

  function placeOf(index: number): PackedBlock | undefined {
    const pack = batch.packs[batch.packOf[index]!]
    const lengthBytes = batch.lengths[index]!
    return pack && { pack, offset: batch.offsets[index]!, storedBytes: batch.stored[index]!, lengthBytes }
  }

  function nextBlock(place: PackedBlock | undefined): Uint8Array {
    const index = blockAt++
    const key = batch.keys.subarray(index * CID_KEY_BYTES, (index + 1) * CID_KEY_BYTES)
    const lengthBytes = batch.lengths[index]!
    if (batch.packOf[index] === IN_BATCH) {
      const offset = batch.offsets[index]!
      return batch.inline.subarray(offset, offset + lengthBytes)
    }
    const bytes = (place && packs.read(place, key)) || askBlock(key.slice())
    if (bytes.length === lengthBytes) return bytes
    // What the tree says of its sizes is what it was counted and given room by.
    throw new MirrorError('corrupt', `a block has ${bytes.length} bytes, its file says ${lengthBytes}`)
  }

  /** Blocks that the reader has at hand go to the file in one call. Returns where they end. */
  function writeBlocks(fd: number, { offset, parts, holes }: FileTask): number {
    let position = offset
    let gathered: Uint8Array[] = []
    let gatheredBytes = 0
    const flush = (): void => {
      if (gathered.length > 0) writeAll(fd, gathered, position)
      position += gatheredBytes
      gathered = []
      gatheredBytes = 0
    }
    for (let part = 0; part < parts; part++) {
      const place = placeOf(blockAt)
      if (place === undefined || !packs.isAtHand(place)) flush()
      const block = nextBlock(place)
      if (holes === undefined) {
        gathered.push(block)
        gatheredBytes += block.length
      } else {
        writeAround(fd, block, position, holes)
        position += block.length
      }
    }
    flush()
    return position
  }

  /** Of a piece without holes: it will be written to the last byte, at a fifth less CPU. */
  function reserve(fd: number, { offset, parts }: FileTask): void {
    context.isReserving ??= gainsByReserving(splitPath(staging).dir)
    if (!context.isReserving) return
    let sizeBytes = 0
    for (const length of batch.lengths.subarray(blockAt, blockAt + parts)) sizeBytes += length
    context.isReserving = reserveSpace(fd, offset, sizeBytes)
  }

  function writeFile(path: Buffer, below: Uint8Array, task: FileTask): void {
    if (task.isUnsure) {
      const state = asBuffer(takeString(FILE_STATE_BYTES))
      const keys = batch.keys.subarray(blockAt * CID_KEY_BYTES, (blockAt + task.parts) * CID_KEY_BYTES)
      const lengths = batch.lengths.subarray(blockAt, blockAt + task.parts)
      if (hasContent(joinPath(old!, below), keys, lengths) && take(below, task, state, true)) {
        blockAt += task.parts
        return
      }
    }
    const flags = task.isPiece ? O_WRONLY | O_NOFOLLOW : O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
    const isWhole =
      !task.isPiece && context.isMadeAsAsked && canBeMadeWhole(task.metadata, { inherits, maker })
    // Nobody else gets into the staging place.
    const mode = isWhole ? task.metadata.mode : PRIVATE
    const fd = withParents(staging, below, () => fs.openSync(path, flags, mode))
    try {
      if (task.isPiece && task.holes === undefined) reserve(fd, task)
      const position = writeBlocks(fd, task)
      bytes += position - task.offset
      // The disk writes while the next piece is made. For a small file the call costs more CPU than it saves time.
      if (task.isPiece) startWriteback(fd, task.offset, position - task.offset)
      else {
        if (!isWhole || !finishWhole(fd, task)) {
          const reasons = finish({ fd }, below, task.metadata)
          noteState(task.slot, () => fs.fstatSync(fd, { bigint: true }), task.metadata, reasons)
        }
        files += 1
      }
    } finally {
      fs.closeSync(fd)
    }
  }

  /** Of a file that was created with its mode. False when that was not enough. */
  function finishWhole(fd: number, { slot, metadata }: FileTask): boolean {
    setMtimeOfFd(fd, metadata.mtimeSec, metadata.mtimeNsec)
    const stat = fs.fstatSync(fd, { bigint: true })
    context.isMadeAsAsked = isAsMade(stat, metadata)
    if (context.isMadeAsAsked) states.add(slot, stat, { names: 1, isOwnerMissing: false })
    return context.isMadeAsAsked
  }

  function makeSpecialFile(
    path: Buffer,
    below: Uint8Array,
    { type, major, minor, metadata }: WriteTask & { kind: 'special' | 'link' },
  ): void {
    const isDevice = type === 'block-device' || type === 'character-device'
    if (isDevice && !devices) {
      report(below, [`a ${type} is not created: the site has to agree to device nodes (--devices)`])
      return
    }
    try {
      withParents(staging, below, () => makeSpecial(path, type as SpecialType, { major, minor }))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error
      report(below, [`the ${type} is not created: ${reasonOf(error)}`])
      return
    }
    finish({ path, type: 'special' }, below, metadata)
  }

  function link(path: Buffer, below: Uint8Array, existing: Buffer, task: WriteTask & { kind: 'link' }): void {
    const first = existing.toString('latin1')
    if (task.type === 'file') files += 1
    try {
      fs.linkSync(newInodes.get(first) ?? existing, path)
      return
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      const isUnmade = code === 'ENOENT' && task.type !== 'file' && task.type !== 'symlink'
      if (!isUnmade && !['EMLINK', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(code)) throw error
      // The file system takes no more links, or none: what it is must still be there.
      if (task.type === 'symlink') {
        fs.symlinkSync(fs.readlinkSync(existing, { encoding: 'buffer' }), path)
        finish({ path, type: 'symlink' }, below, task.metadata)
      } else if (task.type === 'file') {
        copyFile(existing, path)
        finish({ path, type: 'file' }, below, task.metadata)
      } else makeSpecialFile(path, below, task)
      if (code === 'EMLINK') newInodes.set(first, path)
      if (!isUnmade) report(below, [`it is a copy, not a hard link: ${LINK_REASONS[code] ?? code}`])
    }
  }

  function linkTo(target: Buffer, path: Buffer, below: Uint8Array): void {
    withParents(staging, below, () => fs.symlinkSync(target, path))
  }

  function run(task: WriteTask): void {
    const below = takeString(task.pathBytes)
    const path = joinPath(staging, below)
    try {
      switch (task.kind) {
        case 'mkdir':
          makeDirectory(staging, below)
          break
        case 'local':
          linkLocal(asBuffer(old!), asBuffer(staging), asBuffer(below))
          break
        case 'reuse':
          take(below, task, asBuffer(takeString(FILE_STATE_BYTES)), false)
          break
        case 'ahead':
          if (takeAhead(path, below, task)) break
          fs.rmSync(path, { force: true })
          refused.push({ slot: task.slot, isUnsure: false })
          break
        case 'state':
          states.addName(task.slot, task.firstSlot, fs.lstatSync(path, { bigint: true }), task.names)
          break
        case 'manifest':
          states.flush()
          writeManifest({ path: asBuffer(below), ...task, namesFd, stateFd })
          break
        case 'file':
          writeFile(path, below, task)
          break
        case 'symlink':
          linkTo(Buffer.from(takeString(task.targetBytes)), path, below)
          finish({ path, type: 'symlink' }, below, task.metadata)
          break
        case 'special':
          makeSpecialFile(path, below, task)
          break
        case 'link':
          link(path, below, joinPath(staging, takeString(task.existingBytes)), task)
          break
        case 'seal': {
          const type = task.isDirectory ? 'directory' : 'file'
          const reasons = finish({ path, type }, below, task.metadata)
          if (task.isDirectory) break
          files += 1
          noteState(task.slot, () => fs.lstatSync(path, { bigint: true }), task.metadata, reasons)
          break
        }
        case 'sync':
          syncFileSystem(syncFd)
          break
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      throw alreadyThere(below, error)
    }
  }

  for (const task of batch.tasks) run(task)
  states.flush()
  return {
    batch: batch.id,
    files,
    bytes,
    reusedFiles,
    reusedBytes,
    refused,
    notRestored: { count, first },
  }
}
