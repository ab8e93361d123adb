/**
 * Writes files of a check-out while their snapshot is on its way: as soon as the nodes of a directory and all blocks of
 * its files are stored, into a folder of that directory's own (ahead-units.ts says which, docs/decisions/0020). Nothing of
 * it can be seen at the destination, and nothing of it counts before the snapshot is proven complete: then the ordinary
 * check-out finds these files written, puts them where the tree has them (ahead-places.ts), and does all the rest.
 *
 * - It goes through the index behind the fetch and holds nothing back: what it has not come to is written afterwards.
 * - Folders are known by the directory's CID, so what was written for one snapshot is right for any other that has it.
 * - It is given up, and its space given back, when it fails or the disk gets too full for what is still to be fetched.
 * - The place is a check-out's staging place: killed, it is a leftover like others, which the next start removes.
 */
import fs from 'node:fs'
import os from 'node:os'
import { printableName } from '../../base/bytes.ts'
import { type Clock, sleep } from '../../base/clock.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { RAW } from '../../block/cid.ts'
import type { IndexPage } from '../../dag/block-index.ts'
import { decodeDirectoryNode } from '../../dag/directory.ts'
import { isDirectoryNode } from '../../dag/list-node.ts'
import { listPages, readPage } from '../../dag/reader.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import { getBlock } from '../../dag/source.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { abortable } from '../abort.ts'
import { joinPath, splitPath } from '../path-bytes.ts'
import { openUnnamedFile } from '../spool/record-bytes.ts'
import type { StagedAhead } from './ahead-places.ts'
import { type AheadUnits, createAheadUnits } from './ahead-units.ts'
import { type AheadWork, createAheadWork, folderName } from './ahead-work.ts'
import { type AheadWriter, startAheadWriter } from './ahead-writer.ts'
import { createWrittenAhead, type WrittenAhead } from './ahead-written.ts'
import { checkParent, currentTree } from './checkout.ts'
import type { CheckoutStorage } from './checkout-storage.ts'
import type { WriteBatch, WriteReport } from './checkout-threads.ts'
import { createPageFrontier, type PageFrontier, type PageListener } from './page-frontier.ts'
import { clearLeftovers, tryRetire } from './retire.ts'
import { createStaging, type Staging } from './staging.ts'
import { checkDestination } from './switch.ts'
import { createSyncAhead, type SyncAhead } from './sync-ahead.ts'

export interface AheadComponents {
  /** As the tree has it: nothing of the snapshot is proven yet. */
  readonly blocks: BlockStore
  readonly clock: Clock
  readonly storage?: CheckoutStorage | undefined
}

export interface AheadOptions {
  readonly dest: Buffer
  /** When the first step may be done, which looks at the destination and clears away leftovers. */
  readonly inTurn?: (work: () => Promise<void>, signal: AbortSignal) => Promise<void>
  /** Nothing is written for so long after a fetch began. */
  readonly afterMs?: number
  /** The first file is about to be written. */
  readonly onStarted?: () => void
  readonly onGivenUp: (error: MirrorError) => void
  /** Its place is gone. */
  readonly onClosed?: () => void
}

export interface CheckoutAhead extends StagedAhead {
  /**
   * Goes through the index of a snapshot, whose pages are told as they are stored. What was begun before ends.
   * @param neededBytes what is still to be fetched, for which the disk must have room
   */
  follow(snapshot: Cid, neededBytes: () => number): PageListener
  /** Ends that. When it resolves nothing is being written, and what is closed can be taken. */
  settle(): Promise<void>
  readonly files: number
  /** Its place is gone, or was never made. */
  readonly isGivenUp: boolean
  /** Removes what is left. */
  close(): Promise<void>
}

/** Of one snapshot's index. */
interface Pass {
  readonly frontier: PageFrontier
  readonly units: AheadUnits
  readonly work: AheadWork
  readonly signal: AbortSignal
}

interface Place {
  readonly staging: Staging
  readonly syncFd: number
  readonly disk: SyncAhead
  readonly written: WrittenAhead
  /** Started with the first batch. */
  writer?: { readonly thread: AheadWriter; readonly stateFd: number }
}

export function createCheckoutAhead(
  { blocks, clock, storage }: AheadComponents,
  { dest, inTurn = (work) => work(), afterMs = 0, onStarted, onGivenUp, onClosed }: AheadOptions,
): CheckoutAhead {
  let place: Place | undefined
  let preparing: Promise<void> | undefined
  let isGivenUp = false
  const closing = new AbortController()
  let going: { readonly abort: AbortController; readonly done: Promise<void> } | undefined

  async function prepare(): Promise<void> {
    await checkParent(dest)
    checkDestination(dest, { mayReplace: true, mayTakeEmpty: false })
    await clearLeftovers(dest, { clock, storage }, closing.signal)
    if (closing.signal.aborted) return
    const written = createWrittenAhead(currentTree(dest) !== undefined)
    const { dir } = splitPath(dest)
    const staging = createStaging(dest, 'directory')
    place = { staging, syncFd: fs.openSync(dir, 'r'), disk: createSyncAhead(dir), written }
    onStarted?.()
  }

  async function write(to: Place, batch: WriteBatch): Promise<WriteReport> {
    if (to.writer === undefined) {
      const { path: staging, inherits } = to.staging
      const { syncFd } = to
      // Nobody reads what it notes there: what a file looks like is noted when it is taken.
      const stateFd = openUnnamedFile(os.tmpdir(), 'ahead')
      const thread = startAheadWriter(blocks, {
        ...{
          staging,
          inherits,
          clones: false,
          devices: false,
          isBehind: true,
          stateFd,
          namesFd: stateFd,
          syncFd,
        },
        // An owner that cannot be set is reported when the file is taken.
        ownerMode: process.geteuid?.() === 0 ? 'set' : 'leave',
      })
      to.writer = { thread, stateFd }
    }
    const report = await to.writer.thread.write(batch)
    to.disk.note(report.bytes)
    return report
  }

  /** False when the fetch ended before the page was full. */
  async function goThrough(
    { blocks: listed }: IndexPage,
    number: number,
    { frontier, units, work, signal }: Pass,
  ): Promise<boolean> {
    const isNew = frontier.newOf(number)
    for (const [offset, { cid }] of listed.entries()) {
      signal.throwIfAborted()
      if (!frontier.isReached(number, offset)) {
        await work.flushInTime()
        if (!(await frontier.reaches(number, offset))) return false
      }
      if (isNew?.(offset) === true) work.note(cid)
      const bytes = cid.code === RAW ? undefined : await blocks.get(cid, signal)
      if (bytes !== undefined && isDirectoryNode(bytes)) units.add(cid, decodeDirectoryNode(cid, bytes))
      else for (const unit of units.end()) await work.add(unit)
    }
    return true
  }

  async function run(
    snapshotCid: Cid,
    frontier: PageFrontier,
    neededBytes: () => number,
    signal: AbortSignal,
  ): Promise<void> {
    if (preparing === undefined) await sleep(clock, afterMs, signal)
    preparing ??= inTurn(prepare, closing.signal)
    await abortable(preparing, signal)
    if (place === undefined || !(await frontier.reaches(0, -1))) return
    const to = place
    const bytes = await getBlock(blocks, snapshotCid, 'snapshot', signal)
    const { root, index, counts } = decodeSnapshot(snapshotCid, bytes)
    if (root.type !== 'directory') return
    const work = createAheadWork(blocks, {
      ...{ place: to.staging.path, written: to.written, counts, neededBytes, clock, signal },
      write: (batch) => write(to, batch),
    })
    const units = createAheadUnits()
    const pages = listPages(blocks, index, signal)
    try {
      for (let number = 0, left = counts.blocks; left > 0; number++) {
        if (!(await frontier.reaches(number, -1))) return
        // Asked for when it is here: with a page, the branches above it are.
        const next = await pages.next()
        if (next.done === true) break
        left -= next.value.blocks
        // Of an update: what was here before is in the old tree, most likely.
        if (to.written.isUpdate && frontier.newOf(number) === undefined) units.end()
        else {
          const page = await readPage(blocks, next.value, signal)
          if (!(await goThrough(page, number, { frontier, units, work, signal }))) return
        }
        frontier.pass(number)
      }
      for (const unit of units.end()) await work.add(unit)
      await work.flush()
    } finally {
      await work.end()
    }
  }

  async function settle(): Promise<void> {
    const ending = going
    going = undefined
    ending?.abort.abort(new MirrorError('aborted', 'nothing more is written ahead'))
    await ending?.done
  }

  async function discard(): Promise<void> {
    if (place === undefined) return
    const { staging, writer, syncFd, disk } = place
    place = undefined
    if (writer !== undefined) {
      await writer.thread.close()
      fs.closeSync(writer.stateFd)
    }
    await disk.end()
    fs.closeSync(syncFd)
    staging.release()
    try {
      // Mostly nothing is left, and no thread has to look for it.
      fs.rmdirSync(staging.path)
    } catch {
      await tryRetire(staging.path, dest, undefined)
    }
  }

  async function giveUp(error: unknown): Promise<void> {
    isGivenUp = true
    await discard()
    onGivenUp(asMirrorError(error, `write ${printableName(dest)} ahead`))
  }

  return {
    get place() {
      return place?.staging.path
    },
    get syncFd() {
      return place?.syncFd
    },
    get files() {
      return place?.written.files ?? 0
    },
    get bytes() {
      return place?.written.bytes ?? 0
    },
    get isGivenUp() {
      return isGivenUp
    },
    folderOf: (directory) => joinPath(place!.staging.path, folderName(directory)),
    filesOf: (directory) => place?.written.filesOf(directory),
    follow(snapshot, neededBytes) {
      const before = settle()
      const frontier = createPageFrontier()
      const abort = new AbortController()
      const { signal } = abort
      signal.addEventListener('abort', () => frontier.end(), { once: true })
      const done = before
        .then(async () => {
          if (!isGivenUp && !closing.signal.aborted) await run(snapshot, frontier, neededBytes, signal)
        })
        .catch(async (error) => {
          frontier.end()
          if (!signal.aborted) await giveUp(error)
        })
      going = { abort, done }
      return frontier
    },
    settle,
    async close() {
      closing.abort(new MirrorError('aborted', 'nothing more is written ahead'))
      await settle()
      await preparing?.catch(() => undefined)
      await discard()
      onClosed?.()
    },
  }
}
