/** Carries out the tasks of a check-out's batch, in a writing thread. Creates, never opens what it did not create. */
import fs from 'node:fs'
import { printableName } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import { CID_KEY_BYTES } from '../block/cid.ts'
import { startWriteback, syncFileSystem } from '../posix/sync.ts'
import { applyMetadata } from './apply-metadata.ts'
import type { WriteBatch, WriteInput, WriteReport, WriteTask } from './checkout-threads.ts'
import { MAX_NOT_RESTORED_LISTED } from './checkout-threads.ts'
import type { PackReader } from './pack-reader.ts'
import { joinPath, splitPath } from './path-bytes.ts'

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants
const PRIVATE = 0o600

export function writeBatch(
  batch: WriteBatch,
  { staging, ownerMode }: WriteInput,
  { packs, askBlock }: { packs: PackReader; askBlock: (key: Uint8Array) => Uint8Array },
): WriteReport {
  let stringAt = 0
  let blockAt = 0
  let files = 0
  let bytes = 0
  let count = 0
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

  function nextBlock(): Uint8Array {
    const index = blockAt++
    const key = batch.keys.subarray(index * CID_KEY_BYTES, (index + 1) * CID_KEY_BYTES)
    const pack = batch.packs[batch.packOf[index]!]
    const lengthBytes = batch.lengths[index]!
    const offset = batch.offsets[index]!
    const found = pack && packs.read({ pack, offset, storedBytes: batch.stored[index]!, lengthBytes }, key)
    const bytes = found || askBlock(key.slice())
    if (bytes.length === lengthBytes) return bytes
    // What the tree says of its sizes is what it was counted and given room by.
    throw new MirrorError('corrupt', `a block has ${bytes.length} bytes, its file says ${lengthBytes}`)
  }

  function writeFile(path: Buffer, below: Uint8Array, task: Extract<WriteTask, { kind: 'file' }>): void {
    const flags = task.isPiece ? O_WRONLY | O_NOFOLLOW : O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
    const fd = fs.openSync(path, flags, PRIVATE)
    try {
      let position = task.offset
      for (let part = 0; part < task.parts; part++) {
        const block = nextBlock()
        for (let done = 0; done < block.length; ) {
          done += fs.writeSync(fd, block, done, block.length - done, position + done)
        }
        position += block.length
      }
      bytes += position - task.offset
      // The disk writes while the next piece is made. For a small file the call costs more CPU than it saves time.
      if (task.isPiece) startWriteback(fd, task.offset, position - task.offset)
      else {
        report(below, applyMetadata({ fd }, task.metadata, ownerMode))
        files += 1
      }
    } finally {
      fs.closeSync(fd)
    }
  }

  function link(path: Buffer, below: Uint8Array, existing: Buffer, task: WriteTask & { kind: 'link' }): void {
    try {
      fs.linkSync(existing, path)
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if (!['EMLINK', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(code)) throw error
      // The file system takes no more links, or none: the content must still be there.
      if (!task.isFile) {
        fs.symlinkSync(fs.readlinkSync(existing, { encoding: 'buffer' }), path)
        report(below, applyMetadata({ path, type: 'symlink' }, task.metadata, ownerMode))
      } else {
        fs.copyFileSync(existing, path, fs.constants.COPYFILE_EXCL)
        report(below, applyMetadata({ path, type: 'file' }, task.metadata, ownerMode))
      }
      report(below, [`it is a copy, not a hard link: ${code}`])
    }
    if (task.isFile) files += 1
  }

  function run(task: WriteTask): void {
    const below = takeString(task.pathBytes)
    const path = joinPath(staging, below)
    try {
      switch (task.kind) {
        case 'file':
          writeFile(path, below, task)
          break
        case 'symlink':
          fs.symlinkSync(Buffer.from(takeString(task.targetBytes)), path)
          report(below, applyMetadata({ path, type: 'symlink' }, task.metadata, ownerMode))
          break
        case 'link':
          link(path, below, joinPath(staging, takeString(task.existingBytes)), task)
          break
        case 'seal': {
          const type = task.isDirectory ? 'directory' : 'file'
          report(below, applyMetadata({ path, type }, task.metadata, ownerMode))
          if (!task.isDirectory) files += 1
          break
        }
        case 'sync':
          syncBeside(staging)
          break
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      throw new MirrorError('unsupported', `"${printableName(below)}" already exists in an empty check-out`, {
        hint: 'The file system takes two names of the tree for one, for example because it ignores case: check out to another.',
        cause: error,
      })
    }
  }

  for (const task of batch.tasks) run(task)
  return { files, bytes, notRestored: { count, first } }
}

/** Through the parent directory, which is on the same file system: the tree's root may have lost its permissions. */
function syncBeside(staging: Uint8Array): void {
  const fd = fs.openSync(splitPath(staging).dir, 'r')
  try {
    syncFileSystem(fd)
  } finally {
    fs.closeSync(fd)
  }
}
