/**
 * Clears away what is left beside a check-out: places of killed check-outs, and old trees whose time is over. The work
 * is done in a thread (retire-tree.ts).
 */

import { printableName } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import { manifestPath, readMarker, rootIdentity, stemOf } from '../manifest/checkout-marker.ts'
import { joinPath, splitPath } from '../path-bytes.ts'
import { startThread } from '../thread.ts'
import type { CheckoutStorage } from './checkout-storage.ts'
import type { RetireInput } from './retire-tree.ts'
import { findLeftovers, freeNameBeside } from './staging.ts'
import { finishSwitch } from './switch.ts'

/**
 * @returns when the next old tree is due, in the clock's milliseconds
 * @throws MirrorError `busy` when a check-out to `dest` is in progress
 */
export async function clearLeftovers(
  dest: Buffer,
  {
    clock,
    storage,
    except,
  }: {
    clock: Pick<Clock, 'nowMs'>
    storage?: CheckoutStorage | undefined
    /** A place beside `dest` that its caller is writing. */
    except?: Buffer | undefined
  },
  signal?: AbortSignal,
): Promise<number | undefined> {
  const leftovers = findLeftovers(dest, except)
  if (leftovers.length === 0) return undefined
  await storage?.find()
  finishSwitch(dest, leftovers)
  const kept = new Map((readMarker(dest)?.old ?? []).map(({ name, untilMs }) => [name, untilMs]))
  let nextMs: number | undefined
  for (const leftover of leftovers) {
    // Put back by the end of a switch.
    if (rootIdentity(leftover) === undefined) continue
    const untilMs = kept.get(splitPath(leftover).name.toString('latin1'))
    if (untilMs !== undefined && untilMs > clock.nowMs()) nextMs = Math.min(nextMs ?? untilMs, untilMs)
    else await retire(leftover, dest, storage, signal)
  }
  return nextMs
}

/** Whether an old tree beside `dest` has stayed as long as it was to. One that is gone is named until the next switch. */
export function isOldTreeDue(dest: string, nowMs: number): boolean {
  const { dir } = splitPath(Buffer.from(dest))
  return (
    readMarker(dest)?.old?.some(
      ({ name, untilMs }) =>
        untilMs <= nowMs && rootIdentity(joinPath(dir, Buffer.from(name, 'latin1'))) !== undefined,
    ) === true
  )
}

/** Returns the path, for people, when it could not be removed. */
export async function tryRetire(
  target: Buffer,
  dest: Buffer,
  storage: CheckoutStorage | undefined,
): Promise<string | undefined> {
  try {
    await retire(target, dest, storage)
    return undefined
  } catch {
    return printableName(target)
  }
}

/** The one place where a tree goes that was a check-out, or was to become one. */
async function retire(
  target: Buffer,
  dest: Buffer,
  storage: CheckoutStorage | undefined,
  signal?: AbortSignal,
): Promise<void> {
  await storage?.beforeRemoval(target, signal)
  const root = rootIdentity(dest)
  const input: RetireInput = {
    path: target,
    ...(root === undefined
      ? {}
      : {
          current: {
            dir: dest,
            root,
            manifest: manifestPath(dest, root),
            temporary: freeNameBeside(stemOf(dest)),
          },
        }),
  }
  const thread = startThread<RetireInput, never, never, void>(
    new URL('./retire-worker', import.meta.url),
    input,
    () => {
      throw new MirrorError('internal', 'a removal asks nothing')
    },
    `remove ${printableName(target)}`,
  )
  await thread.done
}
