/**
 * Points `latest` of a folder of versions at one of them: a symbolic link is made beside it and renamed over it, so that
 * at every instant it is there and leads to a whole version. The marker names the old link and the new one meanwhile.
 */
import fs from 'node:fs'
import { freeNameBeside } from '../checkout/staging.ts'
import { placeNew } from '../checkout/switch.ts'
import type { CheckoutMarker } from '../manifest/checkout-marker.ts'
import { notOurs, rootIdentity, stemOf, syncDirectory, writeMarker } from '../manifest/checkout-marker.ts'
import type { FolderTerms } from './version-folder.ts'
import { latestOf, latestVersion, readFolder } from './version-folder.ts'

export interface SwitchLatest extends FolderTerms {
  readonly sequence: number
  /** Versions that stay for a while. */
  readonly old: NonNullable<CheckoutMarker['old']>
}

/** @throws MirrorError `conflict` when `latest` is not the link that we put there */
export function checkLatest(dir: Buffer): void {
  const latest = latestOf(dir)
  const identity = rootIdentity(latest)
  if (identity === undefined || readFolder(dir)?.roots.includes(identity) === true) return
  throw notOurs(
    latest,
    'is not the link that mirrormesh made',
    'Remove it: it is made again by the next move.',
  )
}

/** The folder's lock is held. */
export function switchLatest(dir: Buffer, { sequence, tree, snapshot, versions, old }: SwitchLatest): void {
  checkLatest(dir)
  const latest = latestOf(dir)
  const marker = readFolder(dir)
  const mark = (roots: readonly string[], label: { tree?: string; snapshot?: string }): void => {
    writeMarker(latest, freeNameBeside(stemOf(latest)), {
      ...label,
      version: 1,
      roots,
      folder: rootIdentity(dir)!,
      versions,
      ...(old.length > 0 ? { old } : {}),
    })
  }
  const before = rootIdentity(latest)
  if (before !== undefined && latestVersion(dir)?.sequence === sequence) {
    mark([before], { tree, snapshot })
    return
  }
  const link = freeNameBeside(stemOf(latest))
  fs.symlinkSync(String(sequence), link)
  const after = rootIdentity(link)!
  const labelBefore = { tree, ...(marker?.snapshot === undefined ? {} : { snapshot: marker.snapshot }) }
  mark(before === undefined ? [after] : [before, after], labelBefore)
  if (before === undefined) placeNew(link, latest)
  else fs.renameSync(link, latest)
  syncDirectory(dir)
  mark([after], { tree, snapshot })
}
