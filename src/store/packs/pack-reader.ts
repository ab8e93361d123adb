/** Reads blocks out of packs, and gives only what matches the CID. Those that lie side by side are read at once. */
import { asMirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { isBlockOf } from '../../block/cid.ts'
import { decodeBlocksLater } from '../../block/encoding.ts'
import type { FileOps } from '../files.ts'
import type { PackPlace } from '../index/index.ts'
import { createPackFiles } from './pack-files.ts'
import type { PackFolder } from './pack-folder.ts'

export interface PackReader {
  /**
   * The block at `place`, or why those bytes are not it.
   * @throws MirrorError when the disk cannot be read: that says nothing about the block
   */
  read(cid: Cid, place: PackPlace): Promise<ReadBlock | UnreadBlock>
  /** As `read`, of many: one answer for each, in order. What is read may share memory with its neighbours in the pack. */
  readMany(wanted: readonly WantedBlock[]): Promise<(ReadBlock | UnreadBlock)[]>
  /** The pack was removed. */
  drop(packId: number): void
  close(): void
}

export interface ReadBlock {
  readonly plain: Uint8Array
  /** As it rests; the same as `plain` for a plain block. */
  readonly stored: Uint8Array
}

export interface UnreadBlock {
  readonly reason: string
}

export interface WantedBlock {
  readonly cid: Cid
  readonly place: PackPlace
}

/** Bytes of a pack in which wanted blocks lie. */
interface Run {
  readonly packId: number
  readonly start: number
  end: number
  /** Numbers of the blocks. */
  readonly members: number[]
}

/** What lies between two wanted blocks is read with them up to here: cheaper than another call. */
const MAX_GAP_BYTES = 16 * 1024
const MAX_RUN_BYTES = 1024 * 1024

export function createPackReader({
  files,
  folder,
}: {
  readonly files: FileOps
  readonly folder: PackFolder
}): PackReader {
  const packFiles = createPackFiles({ files }, { pathOf: folder.pathOf })

  /** Undefined where the pack ends before the block does; the reason instead of all when the pack is gone. */
  async function readRun({ packId, start, end }: Run): Promise<Uint8Array | UnreadBlock> {
    try {
      return await packFiles.read(packId, start, end - start)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { reason: 'the pack is gone' }
      throw asMirrorError(error, `read ${folder.pathOf(packId)}`, { facts: { packId } })
    }
  }

  async function readMany(wanted: readonly WantedBlock[]): Promise<(ReadBlock | UnreadBlock)[]> {
    const stored: (Uint8Array | UnreadBlock)[] = []
    await Promise.all(
      runsOf(wanted).map(async (run) => {
        const bytes = await readRun(run)
        for (const i of run.members) {
          const { offset, storedBytes } = wanted[i]!.place
          const at = offset - run.start
          if (!(bytes instanceof Uint8Array)) stored[i] = bytes
          else if (bytes.length < at + storedBytes) stored[i] = { reason: 'the pack was cut short' }
          else stored[i] = run.members.length === 1 ? bytes : bytes.subarray(at, at + storedBytes)
        }
      }),
    )
    const read = stored.flatMap((bytes, i) => (bytes instanceof Uint8Array ? [i] : []))
    const plain = await decodeBlocksLater(
      read.map((i) => {
        const { encoding, lengthBytes } = wanted[i]!.place
        return { encoding, bytes: stored[i] as Uint8Array, lengthBytes }
      }),
    )
    const blocks = stored as (ReadBlock | UnreadBlock)[]
    for (const [n, i] of read.entries()) {
      const bytes = plain[n]
      blocks[i] =
        bytes !== undefined && isBlockOf(wanted[i]!.cid, bytes)
          ? { plain: bytes, stored: stored[i] as Uint8Array }
          : { reason: 'the bytes do not match the CID' }
    }
    return blocks
  }

  return {
    read: async (cid, place) => (await readMany([{ cid, place }]))[0]!,
    readMany,
    drop: packFiles.drop,
    close: () => packFiles.close(),
  }
}

function runsOf(wanted: readonly WantedBlock[]): Run[] {
  const order = wanted.map((_, i) => i)
  order.sort((a, b) => {
    const [one, other] = [wanted[a]!.place, wanted[b]!.place]
    return one.packId - other.packId || one.offset - other.offset
  })
  const runs: Run[] = []
  for (const i of order) {
    const { packId, offset, storedBytes } = wanted[i]!.place
    const end = offset + storedBytes
    const last = runs.at(-1)
    if (last?.packId === packId && offset <= last.end + MAX_GAP_BYTES && end <= last.start + MAX_RUN_BYTES) {
      last.end = Math.max(last.end, end)
      last.members.push(i)
    } else runs.push({ packId, start: offset, end, members: [i] })
  }
  return runs
}
