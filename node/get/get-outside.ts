/**
 * Gets a file or a folder out of a mesh that this machine is no member of, from its gateways, believing none of them: records
 * lead from the mesh's id to the head, the head names the snapshot, and every block hashes to what names it.
 *
 * Blocks go into a store beside the destination, which is removed in the end; a get that was cut off goes on with what is in
 * there (unfinished.ts). Files and folders are written out of it by the code that checks out trees.
 */
import { stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { hex, utf8 } from '../../src/base/bytes.ts'
import { type Clock, sleep } from '../../src/base/clock.ts'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { Semaphore } from '../../src/base/semaphore.ts'
import type { Cid } from '../../src/block/cid.ts'
import { closure } from '../../src/dag/closure.ts'
import type { Entry, FileEntry } from '../../src/dag/entry.ts'
import { lookUp } from '../../src/dag/reader.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import type { NodeSource } from '../../src/dag/source.ts'
import { createPullThrough } from '../../src/replica/pull/pull-through.ts'
import { createTraffic } from '../../src/replica/traffic.ts'
import type { Store } from '../../src/store/store.ts'
import type { CheckoutResult } from '../../src/tree/checkout/checkout.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { checkDestination } from '../../src/tree/checkout/switch.ts'
import { compareTree } from '../../src/tree/compare/compare.ts'
import { createFileReader } from '../../src/tree/read-file.ts'
import { findEntry } from '../gateway/find-entry.ts'
import { wasTakenDown } from './choose-version.ts'
import type { Gateways } from './gateways.ts'
import { getUnfinished } from './unfinished.ts'

export type FoundEntry = Exclude<Entry, { type: 'symlink' }>

export interface OutsideGetOptions {
  readonly tree: string
  readonly snapshot: Cid
  readonly names: readonly Uint8Array[]
  /** One that has any of these paths was taken down. */
  readonly withoutPaths: readonly string[]
  readonly signal: AbortSignal
  readonly onProgress: (progress: {
    readonly phase: string
    readonly bytes: number
    readonly totalBytes?: number
  }) => void
}

/** What is there to get, and the ways to get it. */
export interface OutsideGet {
  readonly entry: FoundEntry
  /** The file's bytes in order, verified. Nothing is kept. */
  read(): AsyncIterable<Uint8Array>
  /** Gets the file's blocks first; then calls `write` with what reads them here. */
  viaStore(
    dest: string,
    options: {
      readonly isReplacing: boolean
      readonly write: (read: () => AsyncIterable<Uint8Array>) => Promise<void>
    },
  ): Promise<void>
  checkOutTo(
    dest: string,
    options: { readonly isReplacing: boolean; readonly hasDevices: boolean },
  ): Promise<CheckoutResult>
  close(): void
}

/** Blocks asked for at a time; their bytes have a bound of their own. */
const MAX_BLOCKS = 64
/** On a link of 5 Mbit/s it is here in 7 seconds, and a try has 20. */
const MAX_IN_FLIGHT_BYTES = 4 * 1024 * 1024
const PAUSES_MS = [300, 1000]
const PLACE = { site: '', region: '' }

export async function openOutsideGet(
  { gateways, clock }: { readonly gateways: Gateways; readonly clock: Clock },
  { tree, snapshot, names, withoutPaths, signal, onProgress }: OutsideGetOptions,
): Promise<OutsideGet> {
  const traffic = createTraffic()
  const seen = new Map<string, Uint8Array>()

  /** @param store undefined: only the nodes that lead to the entry are kept, in memory */
  function open(store: Store | undefined) {
    return createPullThrough(
      {
        network: gateways.network,
        members: gateways.members,
        blocksOf: () => ({
          // What led here is fetched again, a few nodes, so that all that is written is in the store.
          get: async (cid, why) =>
            store === undefined ? seen.get(cid.toString()) : store.blocks.get(cid, why),
          has: async () => [],
        }),
        isPrivate: () => false,
        cache: {
          get: async () => undefined,
          async put(cid, bytes) {
            if (store === undefined && bytes.length < 256 * 1024 && seen.size < 256)
              seen.set(cid.toString(), bytes)
            await store?.blocks.put([{ cid, bytes }], { verified: true })
          },
          makeRoom: () => 0,
          usage: () => ({ blocks: 0, bytes: 0, quotaBytes: 0, evictedBlocks: 0 }),
        },
        traffic,
        clock,
        log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
        originOf: () => undefined,
        demandOf: () => undefined,
        onBlame: (origin, error) => gateways.leave(origin, error.message),
      },
      { self: PLACE, timeoutMs: 60_000, maxInFlightBytes: MAX_IN_FLIGHT_BYTES },
    )
  }

  const first = open(undefined)
  const source = first.open(tree, snapshot)
  const found = decodeSnapshot(snapshot, (await source.get(snapshot, signal))!)
  if (found.tree !== tree)
    throw new MirrorError('corrupt', `the snapshot is of tree ${found.tree}, not of ${tree}`)
  for (const path of withoutPaths) {
    if ((await lookUp(source, found.root, path.split('/').map(utf8), signal)) !== undefined)
      throw wasTakenDown(`${tree} with ${JSON.stringify(path)}`)
  }
  const entry = await findEntry(source, found.root, names, signal)
  if (entry === undefined) {
    const path = names.map((name) => Buffer.from(name).toString()).join('/')
    throw new MirrorError('not-found', `${tree} has no ${JSON.stringify(path)} in that snapshot`)
  }
  const isWhole = names.length === 0
  const totalBytes = entry.type === 'file' ? entry.sizeBytes : isWhole ? found.counts.blockBytes : undefined

  async function fetchAll(from: NodeSource): Promise<void> {
    const slots = new Semaphore(MAX_BLOCKS)
    const failure = new AbortController()
    const either = AbortSignal.any([signal, failure.signal])
    const running = new Set<Promise<void>>()
    let bytes = 0
    const progress = (): void =>
      onProgress({ phase: 'fetch', bytes, ...(totalBytes === undefined ? {} : { totalBytes }) })
    try {
      for await (const block of closure(from, entry!, either)) {
        const release = await slots.acquire(1, either)
        const one = getPatiently(from, block.cid, either)
          .then(() => {
            bytes += block.lengthBytes
            progress()
          })
          .catch((error: unknown) => failure.abort(error))
          .finally(() => {
            release()
            running.delete(one)
          })
        running.add(one)
      }
    } catch (error) {
      // What failed first is why the others were given up.
      throw failure.signal.aborted ? failure.signal.reason : error
    } finally {
      await Promise.all(running)
    }
    if (failure.signal.aborted) throw failure.signal.reason
  }

  /** Blocks that nobody gives just now are asked for again: a network, or a gateway, may be away for a moment. */
  async function getPatiently(from: NodeSource, cid: Cid, either: AbortSignal): Promise<void> {
    for (const pauseMs of PAUSES_MS) {
      try {
        await from.get(cid, either)
        return
      } catch (error) {
        if (!isMirrorError(error, 'unreachable') && !isMirrorError(error, 'timed-out')) throw error
      }
      await sleep(clock, pauseMs, either)
    }
    await from.get(cid, either)
  }

  /** Of another snapshot, or another path of it, nothing that was written counts. */
  const what = JSON.stringify([tree, snapshot.toString(), ...names.map(hex)])

  async function fetchInto(store: Store): Promise<void> {
    const through = open(store)
    try {
      await fetchAll(through.open(tree, snapshot))
    } finally {
      through.close()
    }
  }

  return {
    entry,
    read: () => createFileReader({ blocks: source }).read(fileOf(entry), undefined, signal),
    async viaStore(dest, { isReplacing, write }) {
      const file = fileOf(entry)
      await getUnfinished({ clock }, resolve(dest), {
        what,
        checkTaken() {
          if (!isReplacing) throw existsAlready(dest)
        },
        fetch: fetchInto,
        isThere: () => isAsWritten(dest, file),
        async write({ blocks }, isThere) {
          if (!isThere) await write(() => createFileReader({ blocks }).read(file, undefined, signal))
          return null
        },
      })
    },
    checkOutTo: (dest, { isReplacing, hasDevices }) =>
      getUnfinished({ clock }, resolve(dest), {
        what,
        checkTaken: () =>
          checkDestination(Buffer.from(resolve(dest)), { mayReplace: isReplacing, mayTakeEmpty: true }),
        fetch: fetchInto,
        async isThere({ blocks }) {
          for await (const _ of compareTree(
            { blocks, tempDir: dirname(resolve(dest)) },
            { root: entry, dir: dest, signal },
          ))
            return false
          return true
        },
        write: ({ blocks }, isThere) =>
          checkOut(
            { blocks, clock },
            {
              root: entry,
              dest: resolve(dest),
              owner: process.geteuid?.() === 0,
              replace: isReplacing || isThere,
              takeEmpty: true,
              devices: hasDevices,
              label: { tree, snapshot: snapshot.toString() },
              ...(isWhole ? { counts: found.counts } : {}),
              signal,
              onProgress: ({ bytes }) => onProgress({ phase: 'write', bytes }),
            },
          ),
      }),
    close: () => first.close(),
  }
}

function fileOf(entry: FoundEntry): FileEntry {
  if (entry.type === 'file') return entry
  throw new MirrorError('internal', 'only a file has bytes')
}

/** A file is renamed to its place with its time, which is told to the nanosecond. */
async function isAsWritten(dest: string, { sizeBytes, mtimeSec, mtimeNsec }: FileEntry): Promise<boolean> {
  const found = await stat(dest, { bigint: true })
  const mtimeNs = BigInt(mtimeSec) * 1_000_000_000n + BigInt(mtimeNsec)
  return found.isFile() && found.size === BigInt(sizeBytes) && found.mtimeNs === mtimeNs
}

function existsAlready(dest: string): MirrorError {
  return new MirrorError('conflict', `${dest} exists`, { hint: 'Add --replace to replace it.' })
}
