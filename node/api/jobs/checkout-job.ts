/** The job behind `checkout`, with and without versions, and behind `get` of a folder. */
import { isAbsolute, join } from 'node:path'
import { printableName } from '../../../src/base/bytes.ts'
import { MirrorError } from '../../../src/base/errors.ts'
import { lookUp } from '../../../src/dag/reader.ts'
import type { CheckoutResult } from '../../../src/tree/checkout/checkout.ts'
import { checkOut } from '../../../src/tree/checkout/checkout.ts'
import { createCheckoutStorage } from '../../../src/tree/checkout/checkout-storage.ts'
import type { VersionResult } from '../../../src/tree/versions/versions.ts'
import { checkOutVersion } from '../../../src/tree/versions/versions.ts'
import type { SnapshotPlace } from '../answers.ts'
import { findSnapshot } from '../find-snapshot.ts'
import { pathBytes } from '../path-bytes.ts'
import { splitPath } from '../query.ts'
import type { JobBody } from '../schema/job-schema.ts'
import type { Services } from '../services.ts'
import type { CheckoutAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'

export function runCheckoutJob(services: Services, body: JobBody<'checkout'>) {
  const { tree, ref, dest, replace: isReplacing, devices, takeEmpty: takesEmpty, protect, versions } = body
  const path = pathBytes(body.path)
  if (!isAbsolute(dest))
    throw new MirrorError('invalid', `dest must be an absolute path, not ${JSON.stringify(dest)}`)
  if (versions !== undefined && (path.length > 0 || isReplacing || protect !== undefined)) {
    throw new MirrorError('invalid', 'versions are of whole snapshots, without replace and protect')
  }
  return async ({ signal, report, ended }: JobControl): Promise<CheckoutAnswer> => {
    const { blocks, clock, workers, keepOldSeconds } = services
    const startedMs = clock.monotonicMs()
    const { snapshot, place } = await findSnapshot(services, tree, ref, ended)
    const names = splitPath(path)
    const root = await lookUp(blocks, snapshot.root, names, signal)
    if (root === undefined) {
      throw new MirrorError('not-found', `there is no such path in ${tree}@${place.sequence}`)
    }
    // What a pin's check-out stores is saved before it goes; this one stores nothing.
    const ports = { blocks, clock, storage: createCheckoutStorage({ blocks }, { registers: false }) }
    const options = {
      root,
      // Only root can give files away; for anybody else "not restored" would be every file.
      owner: process.geteuid?.() === 0,
      devices,
      takeEmpty: takesEmpty,
      ...(keepOldSeconds === undefined ? {} : { keepOldSeconds }),
      label: { tree, snapshot: place.snapshot },
      ...(names.length === 0 ? { counts: snapshot.counts } : {}),
      ...(workers === undefined ? {} : { workers }),
      signal,
      onProgress: report,
    }
    const secondsNow = () => (clock.monotonicMs() - startedMs) / 1000
    if (versions === undefined) {
      const { leftBehind, ...result } = await checkOut(ports, {
        ...options,
        dest,
        replace: isReplacing,
        ...(protect === undefined ? {} : { protect }),
      })
      const left = leftBehind === undefined ? {} : { leftBehind }
      return { ...place, dest, ...result, seconds: secondsNow(), ...left }
    }
    const tagged = taggedIn(services, tree)
    const result = await checkOutVersion(ports, {
      ...options,
      dir: dest,
      sequence: place.sequence,
      versions,
      isTagged: (cid) => tagged.has(cid),
    })
    return { ...place, ...versionAnswer(dest, result), seconds: secondsNow() }
  }
}

function taggedIn({ ledger }: Services, tree: string): ReadonlySet<string> {
  const tags = ledger.state().trees.get(tree)?.tags.values() ?? []
  return new Set([...tags].map(({ body }) => body.snapshot.toString()))
}

const NONE = { count: 0, first: [] }
const NOTHING_WRITTEN: CheckoutResult = {
  files: 0,
  bytes: 0,
  reusedFiles: 0,
  reusedBytes: 0,
  notRestored: NONE,
  kept: NONE,
  overridden: NONE,
  dropped: NONE,
}

function versionAnswer(
  dir: string,
  { checkout, path, sequences, removed, staying }: VersionResult,
): Omit<CheckoutAnswer, keyof SnapshotPlace | 'seconds'> {
  return {
    dest: printableName(path),
    ...(checkout ?? NOTHING_WRITTEN),
    versions: { latest: join(dir, 'latest'), sequences, removed, staying, wasThere: checkout === undefined },
  }
}
