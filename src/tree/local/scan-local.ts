/**
 * Looks through a check-out for what its manifest does not have: what users made there. A directory in which they put
 * a file named PROTECTED is theirs, with everything in it; so are the paths that they named. All else will be gone
 * after the update, as rsync --delete does it, and is counted. Reads names only. For a thread of its own.
 */
import { printableName } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import type { ManifestReader } from '../manifest/checkout-manifest.ts'
import { compareWalk, openManifest } from '../manifest/checkout-manifest.ts'
import { joinPath } from '../path-bytes.ts'
import type { LocalEntries } from './local-entries.ts'
import { readLocalEntries } from './local-entries.ts'

export const PROTECTED = 'PROTECTED'
const PROTECTED_NAME = Buffer.from(PROTECTED)
export const MAX_EXTRAS_LISTED = 100
/** They are held in memory, and named in the marker. */
const MAX_LOCAL_PATHS = 10_000

export interface LocalScanInput {
  readonly dir: Uint8Array
  readonly root: string
  readonly manifest: Uint8Array
  /** Paths that stay. */
  readonly protect: readonly Uint8Array[]
}

export interface LocalScan {
  /** Of those asked for, the ones that exist; and directories with a PROTECTED in them. */
  readonly local: readonly Uint8Array[]
  /** Without a manifest nobody knows what is extra. */
  readonly hasManifest: boolean
  /** Topmost paths that are not of the snapshot and stay behind. */
  readonly extras: { readonly count: number; readonly first: readonly string[] }
}

interface Frame {
  readonly path: Buffer
  readonly entries: LocalEntries
  readonly isExtra: boolean
  isProtected: boolean
  /** What was found before it was entered. */
  readonly extrasBefore: number
  readonly localBefore: number
}

export function scanLocal({ dir, root, manifest: manifestPath, protect }: LocalScanInput): LocalScan {
  const top = Buffer.from(dir)
  const manifest = openManifest(manifestPath, root)
  const wanted = new Set(protect.map((path) => Buffer.from(path).toString('latin1')))
  const local: Buffer[] = []
  const first: string[] = []
  let extras = 0

  function noteExtra(path: Buffer): void {
    if (extras < MAX_EXTRAS_LISTED) first[extras] = printableName(path)
    extras += 1
  }

  function enter(path: Buffer, isExtra: boolean, extrasBefore: number): Frame {
    return {
      path,
      entries: readLocalEntries(joinPath(top, path)),
      isExtra,
      isProtected: false,
      extrasBefore,
      localBefore: local.length,
    }
  }

  function leave(frame: Frame): void {
    if (!frame.isProtected) return
    if (frame.path.length === 0) {
      throw new MirrorError(
        'conflict',
        `the whole check-out is protected: ${printableName(top)}/${PROTECTED}`,
        {
          hint: `Remove the file ${PROTECTED} there to let the check-out move on.`,
        },
      )
    }
    // Nothing in it is lost, and it goes as one.
    extras = frame.extrasBefore
    first.length = Math.min(first.length, extras)
    local.length = frame.localBefore
    local.push(frame.path)
  }

  const open: Frame[] = []
  try {
    open.push(enter(Buffer.alloc(0), false, 0))
    for (let frame = open.at(-1); frame !== undefined; frame = open.at(-1)) {
      const entry = frame.entries.next()
      if (entry === undefined) {
        open.pop()
        frame.entries.close()
        leave(frame)
        continue
      }
      const path = joinPath(frame.path, entry.name)
      const isKnown = !frame.isExtra && isInManifest(manifest, path)
      if (wanted.has(path.toString('latin1'))) {
        local.push(path)
        continue
      }
      const isExtra = manifest !== undefined && !isKnown
      const extrasBefore = extras
      if (!isKnown && entry.isFile() && entry.name.equals(PROTECTED_NAME)) frame.isProtected = true
      else if (isExtra && !frame.isExtra) noteExtra(path)
      if (entry.isDirectory()) open.push(enter(path, isExtra || frame.isExtra, extrasBefore))
      if (local.length > MAX_LOCAL_PATHS) {
        throw new MirrorError(
          'limit',
          `more than ${MAX_LOCAL_PATHS} protected paths in ${printableName(top)}`,
        )
      }
    }
  } finally {
    for (const frame of open) frame.entries.close()
    manifest?.close()
  }
  return { local, hasManifest: manifest !== undefined, extras: { count: extras, first } }
}

/** Paths come in walk order. */
function isInManifest(manifest: ManifestReader | undefined, path: Buffer): boolean {
  for (let record = manifest?.peek(); record !== undefined; record = manifest?.peek()) {
    const order = compareWalk(record.path, path)
    if (order > 0) return false
    manifest?.take()
    if (order === 0) return true
  }
  return false
}
