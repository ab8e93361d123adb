/**
 * What one batch says when blocks of files are committed to a backing: the files, the ranges, and the blocks' new places.
 *
 * Each loop is in a function of its own: a commit has thousands of blocks and a check-out a few commits, so V8 compiles these
 * while they run, and does so with all that is in the same function.
 */
import { cidKeyOfBytes } from '../../block/cid.ts'
import type { BackedFile, FileIdentity } from '../block-backings.ts'
import type { FilePlace, IndexOperation, Place } from '../index/index.ts'
import { blockIndexKeys, encodePlaces } from '../index/index.ts'
import type { StoredBacking } from './backing-values.ts'
import { encodeFile, encodeRanges, fileKey } from './backing-values.ts'

export interface PlannedCommit {
  readonly operations: IndexOperation[]
  readonly addedBlocks: number
  readonly addedBytes: number
  /** Lie elsewhere, and stay there: they came once more. */
  readonly again: readonly { readonly key: Uint8Array; readonly place: Place }[]
  readonly nextFileId: number
}

interface TakenBlock {
  readonly key: Uint8Array
  readonly place: FilePlace
}

export function planCommit(
  backing: Pick<StoredBacking, 'id' | 'purpose' | 'nextFileId'>,
  files: readonly BackedFile[],
  {
    known,
    owner,
    isRacy,
  }: {
    /** Where the blocks of all files lie already, in order. */
    readonly known: readonly (Place | undefined)[]
    /** Of what is new. */
    readonly owner: number | undefined
    readonly isRacy: (identity: FileIdentity) => boolean
  },
): PlannedCommit {
  const taken: TakenBlock[] = []
  const again: { readonly key: Uint8Array; readonly place: Place }[] = []
  const operations: IndexOperation[] = []
  const placed = new Set<string>()
  let fileId = backing.nextFileId
  let addedBlocks = 0
  let addedBytes = 0
  let at = 0

  function take({ key, offset, lengthBytes }: BackedFile['blocks'][number]): void {
    const place = known[at++]
    const name = cidKeyOfBytes(key)
    if (placed.has(name)) return
    placed.add(name)
    if (place !== undefined && backing.purpose !== 'check-out') {
      again.push({ key, place })
      return
    }
    if (place === undefined) {
      addedBlocks += 1
      addedBytes += lengthBytes
    }
    const where = { encoding: 'file', backingId: backing.id, fileId, offset, lengthBytes } as const
    // What we wrote ourselves was here before, and whose it is stays as it is.
    const of = place === undefined ? owner : place.owner
    taken.push({ key, place: of === undefined ? where : { ...where, owner: of } })
  }

  for (const { below, identity, blocks } of files) {
    const before = taken.length
    for (const block of blocks) take(block)
    if (taken.length === before) continue
    operations.push(putFile(backing.id, fileId, { below, identity, isRacy: isRacy(identity) }))
    fileId += 1
  }
  addPlaces(operations, taken)
  return { operations, addedBlocks, addedBytes, again, nextFileId: fileId }
}

function putFile(backingId: number, fileId: number, file: Parameters<typeof encodeFile>[0]): IndexOperation {
  return { type: 'put', key: fileKey(backingId, fileId), value: encodeFile(file) }
}

function addPlaces(operations: IndexOperation[], taken: readonly TakenBlock[]): void {
  const ranges = encodeRanges(taken)
  const places = encodePlaces(taken.map(({ place }) => place))
  for (const [i, key] of blockIndexKeys(taken.map((each) => each.key)).entries()) {
    operations.push({ type: 'put', ...ranges[i]! })
    operations.push({ type: 'put', key, value: places[i]! })
  }
}
