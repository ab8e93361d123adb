/**
 * The job behind `verify`: every block that a snapshot's index lists is read from disk and hashed, and what its root
 * reaches is compared with that list. With a folder, its files are compared with the snapshot too.
 */
import { isAbsolute } from 'node:path'
import { printableName } from '../../../src/base/bytes.ts'
import { isMirrorError, MirrorError } from '../../../src/base/errors.ts'
import type { Cid } from '../../../src/block/cid.ts'
import type { Entry } from '../../../src/dag/entry.ts'
import { listPages, readPage } from '../../../src/dag/reader.ts'
import { type ViewBlocks, viewBlocks } from '../../../src/dag/snapshot-view.ts'
import { checkClosure } from '../../../src/replica/holdings/closure-check.ts'
import { compareTree } from '../../../src/tree/compare/compare.ts'
import { readMarker } from '../../../src/tree/manifest/checkout-marker.ts'
import { type FoundSnapshot, findSnapshot } from '../find-snapshot.ts'
import { followLink } from '../follow-link.ts'
import type { JobBody } from '../schema/job-schema.ts'
import type { Services } from '../services.ts'
import type { VerifiedSnapshot, VerifyAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'

const MAX_LISTED = 100
/** Blocks read at one time: enough to keep a disk busy, few enough for memory. */
const READS_IN_FLIGHT = 8

export function runVerifyJob(services: Services, body: JobBody<'verify'>) {
  const { tree, ref, checkout: folder } = body
  if (folder !== undefined && (tree === undefined || !isAbsolute(folder))) {
    throw new MirrorError('invalid', 'checkout must be an absolute path, and needs a tree')
  }
  return async (control: JobControl): Promise<VerifyAnswer> => {
    const { clock } = services
    const startedMs = clock.monotonicMs()
    const found =
      tree === undefined
        ? await findAll(services, control.ended)
        : [await findSnapshot(services, tree, ref, control.ended)]
    const totalBytes = found.reduce((sum, { snapshot }) => sum + snapshot.counts.blockBytes, 0)
    const backings = await checkBackings(services, found, control)
    const snapshots: VerifiedSnapshot[] = []
    let doneBytes = 0
    for (const each of found) {
      const onBytes = (bytes: number): void => {
        doneBytes += bytes
        control.report({ phase: `read ${each.place.tree}`, bytes: doneBytes, totalBytes })
      }
      snapshots.push(await verifySnapshot(services, each, control.signal, onBytes))
    }
    const checkout = folder === undefined ? undefined : await compare(services, found[0]!, folder, control)
    return {
      snapshots,
      ...(checkout === undefined ? {} : { checkout }),
      ...(backings.length === 0 ? {} : { backings }),
      isGood:
        snapshots.every(({ missing, unlisted }) => missing.count === 0 && unlisted === 0) &&
        (checkout?.differences.count ?? 0) === 0,
      seconds: (clock.monotonicMs() - startedMs) / 1000,
    }
  }
}

/** The newest complete snapshot of every tree. */
async function findAll(services: Services, ended: AbortSignal): Promise<FoundSnapshot[]> {
  const found: FoundSnapshot[] = []
  for (const tree of services.ledger.state().trees.values()) {
    const { complete } = services
    const head = tree.history.findLast(
      ({ snapshot }) =>
        complete.has(tree.name, snapshot) || complete.viewOf(tree.name, snapshot) !== undefined,
    )
    if (head !== undefined) found.push(await findSnapshot(services, tree.name, String(head.sequence), ended))
  }
  return found
}

/** Before the blocks are read: a file that was changed explains what is missing then. */
async function checkBackings(
  { blocks: { backings } }: Services,
  found: readonly FoundSnapshot[],
  { signal, report }: JobControl,
): Promise<NonNullable<VerifyAnswer['backings']>> {
  const checked: NonNullable<VerifyAnswer['backings']>[number][] = []
  for (const { id, label, path } of backings.list()) {
    // A check-out that moves on meanwhile leaves one.
    const isThere = backings.list().some((each) => each.id === id)
    if (!isThere || !found.some(({ place }) => place.tree === label)) continue
    report({ phase: `check ${printableName(path)}`, bytes: 0 })
    const { count, first } = (await backings.check(id, signal)).changed
    checked.push({ id, path: printableName(path), changed: { count, first: first.map(printableName) } })
  }
  return checked
}

async function verifySnapshot(
  { blocks, scratch }: Services,
  { snapshot, whole, filter, place, cid }: FoundSnapshot,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<VerifiedSnapshot> {
  const missing = { count: 0, first: [] as string[] }
  const counts = { blocks: 0, bytes: 0 }
  const miss = (what: Cid): void => {
    missing.count++
    if (missing.first.length < MAX_LISTED) missing.first.push(what.toString())
  }
  try {
    using wanted = filter === undefined ? undefined : await wantedOf(snapshot.root)
    for await (const ref of listPages(blocks, snapshot.index, signal)) {
      const page = await readPage(blocks, ref, signal)
      const listed = page.blocks.filter((block) => wanted === undefined || wanted.has(block.cid))
      for (let at = 0; at < listed.length; at += READS_IN_FLIGHT) {
        signal.throwIfAborted()
        const batch = listed.slice(at, at + READS_IN_FLIGHT)
        // `get` hashes what it read: a wrong copy comes back as missing.
        const read = await Promise.all(batch.map((block) => blocks.get(block.cid, signal)))
        batch.forEach((block, i) => {
          if (read[i] === undefined || read[i].length !== block.lengthBytes) miss(block.cid)
          counts.blocks++
          counts.bytes += block.lengthBytes
        })
        onBytes(batch.reduce((sum, block) => sum + block.lengthBytes, 0))
      }
    }
  } catch (error) {
    // An index node is gone: what lies below it cannot be told apart any more.
    if (!isMirrorError(error, 'not-found')) throw error
    miss(cid)
  }
  if (missing.count > 0) return { ...place, ...counts, missing, unlisted: 0 }
  return { ...place, ...counts, missing, unlisted: (await isClosed()) ? 0 : 1 }

  async function wantedOf(root: Entry): Promise<Pick<ViewBlocks, 'has'> & Disposable> {
    const { has, close } = await viewBlocks(blocks, root, { signal, scratch })
    return { has, [Symbol.dispose]: close }
  }

  async function isClosed(): Promise<boolean> {
    try {
      await checkClosure(blocks, whole, signal, scratch, filter === undefined ? undefined : snapshot)
      return true
    } catch (error) {
      if (isMirrorError(error, 'corrupt') || isMirrorError(error, 'unstable')) return false
      throw error
    }
  }
}

async function compare(
  { blocks, tempDir }: Services,
  { snapshot }: FoundSnapshot,
  folder: string,
  { signal, report }: JobControl,
): Promise<NonNullable<VerifyAnswer['checkout']>> {
  const differences = { count: 0, first: [] as { path: string; reason: string }[] }
  const kept = { count: 0, first: [] as string[] }
  report({ phase: `compare ${folder}`, bytes: 0 })
  const dir = await followLink(Buffer.from(folder), snapshot.root.type)
  const marker = readMarker(dir)
  for await (const { path, kind, detail } of compareTree(
    { blocks, tempDir },
    { root: snapshot.root, dir, protect: marker && (marker.protect ?? []), signal },
  )) {
    if (kind === 'protected') {
      kept.count++
      if (kept.first.length < MAX_LISTED) kept.first.push(printableName(path))
      continue
    }
    differences.count++
    if (differences.first.length >= MAX_LISTED) continue
    differences.first.push({ path: printableName(path) || '.', reason: `${kind}: ${detail}` })
  }
  return { path: folder, differences, protected: kept }
}
