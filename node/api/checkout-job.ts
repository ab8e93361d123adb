/** The job behind `checkout`, and behind `get` of a folder. */
import { isAbsolute } from 'node:path'
import { MirrorError } from '../../src/base/errors.ts'
import { lookUp } from '../../src/dag/reader.ts'
import { checkOut } from '../../src/tree/checkout.ts'
import { createCheckoutStorage } from '../../src/tree/checkout-storage.ts'
import type { CheckoutAnswer } from './answers.ts'
import { findSnapshot } from './find-snapshot.ts'
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
  if (!isAbsolute(dest))
    throw new MirrorError('invalid', `dest must be an absolute path, not ${JSON.stringify(dest)}`)
  return async ({ signal, report, ended }: JobControl): Promise<CheckoutAnswer> => {
    const { blocks, clock, workers, keepOldSeconds } = services
    const startedMs = clock.monotonicMs()
    const { snapshot, place } = await findSnapshot(services, tree, ref, ended)
    const names = splitPath(path)
    const root = await lookUp(blocks, snapshot.root, names, signal)
    if (root === undefined) {
      throw new MirrorError('not-found', `there is no such path in ${tree}@${place.sequence}`)
    }
    // What it replaces may be a pin's check-out, which holds the blocks of its tree.
    const { leftBehind, ...result } = await checkOut(
      { blocks, clock, storage: createCheckoutStorage({ blocks }, { registers: false }) },
      {
        root,
        dest,
        // Only root can give files away; for anybody else "not restored" would be every file.
        owner: process.geteuid?.() === 0,
        replace: isReplacing,
        devices,
        takeEmpty: takesEmpty,
        ...(protect === undefined ? {} : { protect }),
        ...(keepOldSeconds === undefined ? {} : { keepOldSeconds }),
        label: { tree, snapshot: place.snapshot },
        ...(names.length === 0 ? { counts: snapshot.counts } : {}),
        ...(workers === undefined ? {} : { workers }),
        signal,
        onProgress: report,
      },
    )
    const seconds = (clock.monotonicMs() - startedMs) / 1000
    return { ...place, dest, ...result, seconds, ...(leftBehind === undefined ? {} : { leftBehind }) }
  }
}

function protectOf(value: unknown): string[] | undefined {
  if (value === undefined) return undefined
  if (Array.isArray(value) && value.every((path) => typeof path === 'string')) return value
  throw new MirrorError('invalid', 'protect must be a list of paths')
}
