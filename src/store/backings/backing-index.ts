/**
 * What the index says about backings: one batch names the file, the ranges and the blocks' new places, so that a crash
 * leaves all of a commit or nothing. A backing is dropped from its blocks to its own key: killed in between, it is
 * still there to be dropped again.
 */
import { MirrorError } from '../../base/errors.ts'
import type { BackedFile, BackingPaths, BackingSize, FileIdentity, NewBacking } from '../block-backings.ts'
import type { FilePlace, IndexOperation } from '../index/index.ts'
import { blockIndexKey, decodeCount, encodeCount, metaIndexKey } from '../index/index.ts'
import { admission, markOwner } from '../owners.ts'
import type { PackIndex } from '../packs/pack-index.ts'
import type { StoredBacking, StoredFile, StoredRange } from './backing-values.ts'
import {
  ALL_BACKINGS,
  backingKey,
  backingRange,
  decodeBacking,
  decodeFile,
  decodeRange,
  encodeBacking,
  encodeFile,
  fileKey,
  rangeKey,
} from './backing-values.ts'
import { planCommit } from './plan-commit.ts'
import { planMove } from './plan-move.ts'

/** A block that lies in the backing, by its place in the index. */
export interface HeldBlock {
  readonly key: Uint8Array
  readonly place: FilePlace
}

export interface BackingIndex {
  readonly backings: ReadonlyMap<number, StoredBacking>
  create(backing: NewBacking): Promise<number>
  setPaths(backingId: number, paths: BackingPaths, mark: string | undefined): Promise<void>
  commit(
    backingId: number,
    files: readonly BackedFile[],
    isRacy: (identity: FileIdentity) => boolean,
    /** The private tree that they are imported for; of a check-out's blocks, the owner stays. */
    owner: number | undefined,
  ): Promise<BackingSize>
  file(backingId: number, fileId: number): Promise<StoredFile | undefined>
  files(backingId: number): AsyncIterable<StoredFile>
  /** The blocks whose place is in the backing, in runs, in the order of its files; of one file when it is named. */
  held(backingId: number, fileId?: number): AsyncIterable<readonly HeldBlock[]>
  updateFile(backingId: number, file: StoredFile): Promise<void>
  /** Some files of one become the other's (block-backings.ts). @returns the keys of the blocks that went along */
  move(from: number, to: number, fileIds: readonly number[]): Promise<Uint8Array[]>
  drop(backingId: number): Promise<void>
  /** @returns whether nothing was ever committed to it */
  dropUnused(backingId: number): Promise<boolean>
}

/** What is needed of the index of all blocks. */
export type BackedPlaces = Pick<PackIndex, 'find' | 'change' | 'getMany' | 'entries'>

const RUN_BLOCKS = 1024
const DROP_KEYS = 4096

/** What an earlier run left. */
export interface KnownBackings {
  readonly backings: Map<number, StoredBacking>
  readonly lastId: number
}

export async function loadBackings(index: BackedPlaces): Promise<KnownBackings> {
  const backings = new Map<number, StoredBacking>()
  for await (const [key, value] of index.entries(ALL_BACKINGS)) {
    const backing = decodeBacking(key, value)
    backings.set(backing.id, backing)
  }
  const [last] = await index.getMany([metaIndexKey('backings')])
  return { backings, lastId: last === undefined ? 0 : decodeCount(last) }
}

export function createBackingIndex(
  index: BackedPlaces,
  { backings, lastId: firstId }: KnownBackings = { backings: new Map(), lastId: 0 },
  /** The number of a tree that owns blocks. */
  ownerOf: (tree: string) => number | undefined = () => undefined,
): BackingIndex {
  let lastId = firstId
  /** They take nothing more: what a commit added behind the drop's back would stay for ever. */
  const dropping = new Set<number>()

  function get(backingId: number): StoredBacking {
    const backing = backings.get(backingId)
    if (backing !== undefined && !dropping.has(backingId)) return backing
    throw new MirrorError('not-found', `there is no backing ${backingId}`, { facts: { backingId } })
  }

  const put = (backing: StoredBacking): IndexOperation => ({
    type: 'put',
    key: backingKey(backing.id),
    value: encodeBacking(backing),
  })

  async function* ranges(backingId: number, fileId?: number): AsyncGenerator<StoredRange[], void, undefined> {
    let run: StoredRange[] = []
    for await (const [key, value] of index.entries(backingRange('blocks', backingId, fileId))) {
      run.push(decodeRange(key, value))
      if (run.length < RUN_BLOCKS) continue
      yield run
      run = []
    }
    if (run.length > 0) yield run
  }

  async function heldOf(backingId: number, run: readonly StoredRange[]): Promise<HeldBlock[]> {
    const places = await index.find(run.map(({ key }) => key))
    return run.flatMap(({ key, fileId, offset }, i) => {
      const place = places[i]
      const isHere =
        place?.encoding === 'file' &&
        place.backingId === backingId &&
        place.fileId === fileId &&
        place.offset === offset
      return isHere ? [{ key, place }] : []
    })
  }

  async function plan(
    backing: StoredBacking,
    files: readonly BackedFile[],
    isRacy: (identity: FileIdentity) => boolean,
    importedBy: number | undefined,
  ): Promise<{ operations: IndexOperation[]; addedBlocks: number; addedBytes: number; next: StoredBacking }> {
    const known = await index.find(files.flatMap(({ blocks }) => blocks.map(({ key }) => key)))
    const owner = backing.purpose === 'check-out' ? ownerOf(backing.label) : importedBy
    const planned = planCommit(backing, files, { known, owner, isRacy })
    const { operations, addedBlocks, addedBytes, again, nextFileId } = planned
    const next = { ...backing, nextFileId }
    if (operations.length > 0) operations.push(put(next))
    for (const { key, place } of again) operations.push(...(await admission(index, key, place, owner)))
    return { operations, addedBlocks, addedBytes, next }
  }

  return {
    backings,

    async create(backing) {
      const id = ++lastId
      const { purpose, label, mark } = backing
      const known = { id, purpose, label, ...(mark === undefined ? {} : { mark }) }
      const stored = { ...known, nextFileId: 1, ...copyPaths(backing) }
      const counter = { type: 'put', key: metaIndexKey('backings'), value: encodeCount(id) } as const
      await index.change(async () => ({ operations: [counter, put(stored)], addedBlocks: 0 }), { sync: true })
      backings.set(id, stored)
      return id
    },

    async setPaths(backingId, paths, mark) {
      let next = get(backingId)
      await index.change(
        async () => {
          const { path: _, alternative: __, ...kept } = get(backingId)
          next = { ...kept, ...(mark === undefined ? {} : { mark }), ...copyPaths(paths) }
          return { operations: [put(next)], addedBlocks: 0 }
        },
        { sync: true },
      )
      backings.set(backingId, next)
    },

    async commit(backingId, files, isRacy, owner) {
      const added = { blocks: 0, bytes: 0 }
      await index.change(
        async () => {
          const { next, addedBytes, ...change } = await plan(get(backingId), files, isRacy, owner)
          added.blocks = change.addedBlocks
          added.bytes = addedBytes
          // A number that was not used in the end does no harm; one that was used twice would.
          backings.set(backingId, next)
          return change
        },
        { sync: true },
      )
      return added
    },

    async file(backingId, fileId) {
      const key = fileKey(backingId, fileId)
      const [value] = await index.getMany([key])
      return value === undefined ? undefined : decodeFile(key, value)
    },

    async *files(backingId) {
      for await (const [key, value] of index.entries(backingRange('files', backingId)))
        yield decodeFile(key, value)
    },

    async *held(backingId, fileId) {
      for await (const run of ranges(backingId, fileId)) yield await heldOf(backingId, run)
    },

    async updateFile(backingId, file) {
      const key = fileKey(backingId, file.fileId)
      await index.change(
        async () => {
          // It may have become another's, or been dropped, since it was listed.
          const [known] = await index.getMany([key])
          const operations: IndexOperation[] =
            known === undefined ? [] : [{ type: 'put', key, value: encodeFile(file) }]
          return { operations, addedBlocks: 0 }
        },
        { sync: false },
      )
    },

    async move(from, to, fileIds) {
      const moved: Uint8Array[] = []
      for (let left = fileIds.toSorted((a, b) => a - b); left.length > 0; ) {
        await index.change(
          async () => {
            const { operations, keys, nextFileId, files } = await planMove(
              { index, heldOf },
              { from: get(from).id, to: get(to), fileIds: left },
            )
            for (const key of keys) moved.push(key)
            const next = { ...get(to), nextFileId }
            backings.set(to, next)
            left = left.slice(files)
            return { operations: [...operations, put(next)], addedBlocks: 0 }
          },
          { sync: false },
        )
      }
      return moved
    },

    async drop(backingId) {
      get(backingId)
      dropping.add(backingId)
      try {
        await dropKeys(backingId)
        backings.delete(backingId)
      } finally {
        dropping.delete(backingId)
      }
    },

    async dropUnused(backingId) {
      if (get(backingId).nextFileId > 1) return false
      dropping.add(backingId)
      try {
        let isUnused = false
        await index.change(
          async () => {
            // A commit may have been before this one in the line.
            isUnused = backings.get(backingId)?.nextFileId === 1
            return {
              operations: isUnused ? [{ type: 'del', key: backingKey(backingId) }] : [],
              addedBlocks: 0,
            }
          },
          { sync: true },
        )
        if (isUnused) backings.delete(backingId)
        return isUnused
      } finally {
        dropping.delete(backingId)
      }
    },
  }

  async function dropKeys(backingId: number): Promise<void> {
    for await (const run of ranges(backingId)) {
      await index.change(
        async () => {
          const held = await heldOf(backingId, run)
          const operations = held.flatMap(({ key, place }): IndexOperation[] => [
            { type: 'del', key: blockIndexKey(key) },
            ...markOwner(key, place),
          ])
          for (const { fileId, offset } of run)
            operations.push({ type: 'del', key: rangeKey(backingId, fileId, offset) })
          return { operations, addedBlocks: -held.length }
        },
        { sync: false },
      )
    }
    let keys: Uint8Array[] = []
    const deleteKeys = async (sync: boolean): Promise<void> => {
      const operations = keys.map((key): IndexOperation => ({ type: 'del', key }))
      keys = []
      await index.change(async () => ({ operations, addedBlocks: 0 }), { sync })
    }
    for await (const [key] of index.entries(backingRange('files', backingId))) {
      keys.push(key)
      if (keys.length >= DROP_KEYS) await deleteKeys(false)
    }
    keys.push(backingKey(backingId))
    await deleteKeys(true)
  }
}

/** The caller's bytes stay the caller's. */
function copyPaths({ path, alternative }: BackingPaths): BackingPaths {
  return {
    path: new Uint8Array(path),
    ...(alternative === undefined ? {} : { alternative: new Uint8Array(alternative) }),
  }
}
