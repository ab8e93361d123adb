/**
 * The file beside a check-out, `.<name>.mirrormesh.json`, that says the check-out is ours to replace. Never inside:
 * what is inside is the tree and nothing else.
 *
 * It names the check-out's root by inode and time of birth, so that a directory which somebody else put at the same
 * path is never taken for ours. While a replacement is in progress it names both the old and the new.
 */
import fs from 'node:fs'
import { printableName } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { blake3 } from '../../block/hash.ts'
import { joinPath, splitPath } from '../path-bytes.ts'

export interface CheckoutLabel {
  readonly tree: string
  /** CID. */
  readonly snapshot: string
  /** CID of the view that was written, where the site keeps a part of the tree. */
  readonly view?: string
}

export interface CheckoutMarker extends Partial<CheckoutLabel> {
  readonly version: 1
  readonly roots: readonly string[]
  /** Paths that stay at each move, as they were given. */
  readonly protect?: readonly string[]
  /** While a replacement is in progress: originals that go from the old tree into the new. Paths as latin1. */
  readonly moving?: readonly { readonly path: string; readonly identity: string }[]
  /** Old trees that stay for a while, by their names beside the check-out. */
  readonly old?: readonly { readonly name: string; readonly untilMs: number }[]
  /** Of the link `latest` in a folder of versions: the folder's own identity, and how many of the newest stay. */
  readonly folder?: string
  readonly versions?: number
}

/** Ten thousand local paths of some length. */
const MAX_MARKER_BYTES = 16 * 1024 * 1024
const WRITABLE_BY_OTHERS = 0o022
/** With what is added the name still fits in 255 bytes. */
const MAX_STEM_BYTES = 200

/** `.<name>.mirrormesh`, shortened with a digest where the name is long. */
export function stemOf(dest: Uint8Array): { dir: Buffer; stem: Buffer } {
  const { dir, name } = splitPath(dest)
  const short =
    name.length <= MAX_STEM_BYTES
      ? name
      : Buffer.concat([
          name.subarray(0, MAX_STEM_BYTES - 20),
          Buffer.from(`~${Buffer.from(blake3.digest(name)).toString('hex', 0, 8)}`),
        ])
  return { dir, stem: Buffer.concat([Buffer.from('.'), short, Buffer.from('.mirrormesh')]) }
}

function markerPath(dest: Uint8Array): Buffer {
  const { dir, stem } = stemOf(dest)
  return joinPath(dir, Buffer.concat([stem, Buffer.from('.json')]))
}

/** For a check-out that is gone. */
export function removeMarker(dest: Uint8Array): void {
  fs.rmSync(markerPath(dest), { force: true })
}

/** Where the manifest of the root with this identity is. */
export function manifestPath(dest: Uint8Array, identity: string): Buffer {
  const { dir, stem } = stemOf(dest)
  return joinPath(
    dir,
    Buffer.concat([stem, Buffer.from(`.files-${identity.split(':').map(toHex).join('-')}`)]),
  )
}

/** Manifests of roots that the check-out no longer has. */
export function removeManifests(dest: Uint8Array, isKept: (name: Buffer) => boolean): void {
  const { dir, stem } = stemOf(dest)
  const prefix = Buffer.concat([stem, Buffer.from('.files-')])
  for (const name of fs.readdirSync(dir, { encoding: 'buffer' })) {
    if (!name.subarray(0, prefix.length).equals(prefix)) continue
    if (!/^[0-9a-f]+-[0-9a-f]+$/.test(name.toString('latin1', prefix.length)) || isKept(name)) continue
    fs.rmSync(joinPath(dir, name), { force: true })
  }
}

/** Identity of whatever is at `path`, or undefined when nothing is. */
export function rootIdentity(path: Buffer): string | undefined {
  try {
    const { ino, birthtimeNs } = fs.lstatSync(path, { bigint: true })
    return `${ino}:${birthtimeNs}`
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * What the marker beside `dest` says; undefined when there is none that can be read as one. In a folder that others may write in
 * (/tmp) anybody may have put one there, to have what it names replaced.
 */
export function readMarker(dest: string | Uint8Array): CheckoutMarker | undefined {
  let text: string
  try {
    const fd = fs.openSync(
      markerPath(toBytes(dest)),
      fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK,
    )
    try {
      const stat = fs.fstatSync(fd)
      if (stat.size > MAX_MARKER_BYTES || isForeign(stat, stemOf(toBytes(dest)).dir)) return undefined
      text = fs.readFileSync(fd, 'utf8')
    } finally {
      fs.closeSync(fd)
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ELOOP' || code === 'EISDIR') return undefined
    throw error
  }
  try {
    return parseMarker(JSON.parse(text) as Record<string, unknown>)
  } catch {
    return undefined
  }
}

/** Made by somebody who is neither this user, nor root, nor whose the folder is. */
function isForeign({ uid }: fs.Stats, dir: Buffer): boolean {
  if (uid === 0 || uid === process.geteuid?.()) return false
  const folder = fs.statSync(dir)
  return folder.uid !== uid && (folder.mode & WRITABLE_BY_OTHERS) !== 0
}

function parseMarker(fields: Record<string, unknown>): CheckoutMarker | undefined {
  const { version, roots, tree, snapshot, view, protect, moving, old, folder, versions } = fields
  if (version !== 1 || !isListOf(roots, isText)) return undefined
  const isLabelled = isText(tree) && isText(snapshot)
  return {
    version,
    roots,
    ...(isLabelled ? { tree, snapshot } : {}),
    ...(isLabelled && isText(view) ? { view } : {}),
    ...(isListOf(protect, isText) ? { protect } : {}),
    ...(isListOf(moving, isMove) ? { moving } : {}),
    ...(isListOf(old, isOld) ? { old } : {}),
    ...(isText(folder) ? { folder } : {}),
    ...(typeof versions === 'number' ? { versions } : {}),
  }
}

function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.every(isItem)
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isMove(value: unknown): value is { path: string; identity: string } {
  const { path, identity } = (value ?? {}) as Record<string, unknown>
  return isText(path) && isText(identity)
}

function isOld(value: unknown): value is { name: string; untilMs: number } {
  const { name, untilMs } = (value ?? {}) as Record<string, unknown>
  return isText(name) && typeof untilMs === 'number'
}

/** Replaced as a whole, and durable. @param temporary a free name in the same directory */
export function writeMarker(dest: Buffer, temporary: Buffer, marker: CheckoutMarker): void {
  const fd = fs.openSync(temporary, 'wx', 0o644)
  try {
    fs.writeSync(fd, `${JSON.stringify(marker)}\n`)
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
  fs.renameSync(temporary, markerPath(dest))
  syncDirectory(stemOf(dest).dir)
}

export function syncDirectory(dir: Buffer): void {
  const fd = fs.openSync(dir, 'r')
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

export function notOurs(
  dest: Buffer,
  why: string,
  hint = 'Move it away, or choose another destination; only a check-out that mirrormesh made is ever replaced.',
): MirrorError {
  return new MirrorError('conflict', `${printableName(dest)} ${why}`, {
    facts: { path: printableName(dest) },
    hint,
  })
}

function toBytes(dest: string | Uint8Array): Uint8Array {
  return typeof dest === 'string' ? Buffer.from(dest) : dest
}

/** Of a number in decimal: both are 64 bits, and with them the name still fits in 255 bytes. */
function toHex(decimal: string): string {
  return BigInt.asUintN(64, BigInt(decimal)).toString(16)
}
