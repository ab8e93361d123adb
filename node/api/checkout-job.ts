/** The job behind `checkout`, with and without versions, and behind `get` of a folder. */
import { isAbsolute, join } from 'node:path'
import { printableName } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { lookUp } from '../../src/dag/reader.ts'
import { MAX_VERSIONS } from '../../src/record/kinds/pin.ts'
import type { CheckoutResult } from '../../src/tree/checkout.ts'
import { checkOut } from '../../src/tree/checkout.ts'
import { createCheckoutStorage } from '../../src/tree/checkout-storage.ts'
import type { VersionResult } from '../../src/tree/versions.ts'
import { checkOutVersion } from '../../src/tree/versions.ts'
import type { SnapshotPlace } from './answers.ts'
import { findSnapshot } from './find-snapshot.ts'
import type { CheckoutAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'
import { pathBytes } from './path-bytes.ts'
import { fieldOf, optionalTextOf, splitPath, textOf } from './query.ts'
import type { Services } from './services.ts'

export function runCheckoutJob(services: Services, body: unknown) {
  const tree = textOf(body, 'tree')
  const ref = optionalTextOf(body, 'ref')
  const path = pathBytes(optionalTextOf(body, 'path') ?? '')
  const dest = textOf(body, 'dest')
  const isReplacing = fieldOf(body, 'replace') === true
  const devices = fieldOf(body, 'devices') === true
  const takesEmpty = fieldOf(body, 'takeEmpty') === true
  const protect = protectOf(fieldOf(body, 'protect'))
  const versions = versionsOf(fieldOf(body, 'versions'))
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

function versionsOf(value: unknown): number | undefined {
  if (value === undefined) return undefined
  if (Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MAX_VERSIONS) return Number(value)
  throw new MirrorError('invalid', `versions must be a number from 1 to ${MAX_VERSIONS}`)
}

function protectOf(value: unknown): string[] | undefined {
  if (value === undefined) return undefined
  if (Array.isArray(value) && value.every((path) => typeof path === 'string')) return value
  throw new MirrorError('invalid', 'protect must be a list of paths')
}
