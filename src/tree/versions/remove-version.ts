/**
 * Removes one check-out of a folder of versions. What a retained snapshot needs of it is saved first; then it gets a
 * hidden name, so that nobody finds half of it at its own; then it goes. Killed at any instant, what is left is a whole
 * version at its name, or something hidden that `clearFolder` removes.
 */
import fs from 'node:fs'
import { printableName } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import { mountsWithin } from '../../posix/mounts.ts'
import type { CheckoutStorage } from '../checkout/checkout-storage.ts'
import { clearLeftovers, tryRetire } from '../checkout/retire.ts'
import { freeNameBeside } from '../checkout/staging.ts'
import { scanOld } from '../local/find-local.ts'
import { PROTECTED } from '../local/scan-local.ts'
import {
  manifestPath,
  removeManifests,
  removeMarker,
  rootIdentity,
  stemOf,
  syncDirectory,
} from '../manifest/checkout-marker.ts'
import { joinPath, splitPath } from '../path-bytes.ts'
import type { Version } from './version-folder.ts'
import { latestOf, versionPath } from './version-folder.ts'

/**
 * @returns where the tree lies when it has left its name and could not be removed; the next move tries again
 * @throws MirrorError `conflict` when something in it must not go: it stays where it is
 */
export async function removeVersion(
  { path }: Version,
  { storage, signal }: { storage: CheckoutStorage | undefined; signal?: AbortSignal | undefined },
): Promise<string | undefined> {
  const { dir, name } = splitPath(path)
  const [mount] = mountsWithin(joinPath(fs.realpathSync(dir, { encoding: 'buffer' }), name))
  if (mount !== undefined) {
    throw new MirrorError('conflict', `${printableName(path)} stays: ${printableName(mount)} is mounted`, {
      hint: 'Unmount it: the version is removed then.',
    })
  }
  await checkLocal(path, signal)
  await storage?.beforeRemoval(path, signal)
  const hidden = freeNameBeside(stemOf(path))
  fs.renameSync(path, hidden)
  syncDirectory(dir)
  forget(dir, name)
  return tryRetire(hidden, path, storage)
}

/** A check-out that moves takes along what its users protected; here it can only stay with it. */
async function checkLocal(path: Buffer, signal: AbortSignal | undefined): Promise<void> {
  const root = rootIdentity(path)
  if (root === undefined || !fs.lstatSync(path).isDirectory()) return
  const { local } = await scanOld({ dir: path, root, manifest: manifestPath(path, root) }, [], signal)
  const [first] = local
  if (first === undefined) return
  throw new MirrorError(
    'conflict',
    `${printableName(path)} stays: it holds ${PROTECTED} in ${printableName(first) || '.'}`,
    { hint: `Remove the file ${PROTECTED} there to let the version go.` },
  )
}

/** Removes what killed moves left in a folder whose lock is held. */
export async function clearFolder(
  dir: Buffer,
  ports: { clock: Pick<Clock, 'nowMs'>; storage: CheckoutStorage | undefined },
  signal?: AbortSignal,
): Promise<void> {
  const found = new Set<string>()
  for (const name of fs.readdirSync(dir, { encoding: 'latin1' })) {
    const [, stem] = /^\.([1-9][0-9]*|latest)\.mirrormesh[.-]/.exec(name) ?? []
    if (stem !== undefined) found.add(stem)
  }
  for (const name of found) {
    const path = name === 'latest' ? latestOf(dir) : versionPath(dir, Number(name))
    await clearLeftovers(path, ports, signal)
    if (name === 'latest' || rootIdentity(path) !== undefined) continue
    await ports.storage?.beforeRemoval(path, signal)
    forget(dir, Buffer.from(name))
  }
}

/** What lay beside a version that is gone. */
function forget(dir: Buffer, name: Buffer): void {
  const path = versionPath(dir, Number(name.toString('latin1')))
  removeManifests(path, () => false)
  removeMarker(path)
}
