/**
 * The request target, taken apart as bytes: names in trees are raw bytes, so nothing here goes through a URL class
 * that would normalise, lower-case or re-encode them.
 *
 * Refused, never repaired: a broken or NUL escape, an encoded slash, `.` and `..` (plain or encoded), a name over 255
 * bytes, a path over 1,024 names. Empty segments are skipped, as web servers do, so `//x` is `/x`; a redirect is
 * always built from the segments, so a target of `//evil.example/` can never become somebody else's address.
 */
import { MirrorError } from '../../src/base/errors.ts'

export const MAX_TARGET_BYTES = 8 * 1024
const MAX_NAME_BYTES = 255
const MAX_SEGMENTS = 1024

export interface TargetSegment {
  /** The name, decoded. Never empty, `.`, `..`; holds no `/` and no NUL. */
  readonly name: Uint8Array
  /** It began with a plain `@`, not with `%40`: it may name a version instead of a file. */
  readonly isSelector: boolean
}

export interface RequestTarget {
  readonly segments: readonly TargetSegment[]
  readonly hasTrailingSlash: boolean
  readonly query: URLSearchParams
  /** Without its question mark: where bytes matter that text would lose. */
  readonly rawQuery: string
}

/** @throws MirrorError `limit` when it is too long, `invalid` when it is malformed or unsafe */
export function parseTarget(target: string): RequestTarget {
  if (target.length > MAX_TARGET_BYTES) {
    throw new MirrorError('limit', `the address is over ${MAX_TARGET_BYTES} bytes`)
  }
  // RFC 9112 section 3.2.2: a server accepts the absolute form as well; the authority has no meaning here.
  const path = /^https?:\/\/[^/?#]*/i.test(target)
    ? target.replace(/^https?:\/\/[^/?#]*/i, '') || '/'
    : target
  if (!path.startsWith('/') && !path.startsWith('?')) throw invalid('it does not begin with a slash')
  const queryAt = path.indexOf('?')
  const rawPath = queryAt < 0 ? path : path.slice(0, queryAt)
  const rawQuery = queryAt < 0 ? '' : path.slice(queryAt + 1)
  return {
    segments: parseSegments(rawPath),
    hasTrailingSlash: rawPath.endsWith('/') || rawPath === '',
    query: new URLSearchParams(rawQuery),
    rawQuery,
  }
}

/** Names of a path in a query (`?path=repodata/repomd.xml`), as bytes. A slash may come encoded, and a plus is a plus. */
export function parseQueryPath(
  rawQuery: string,
  key: string,
): { readonly segments: readonly TargetSegment[]; readonly hasTrailingSlash: boolean } | undefined {
  const pair = rawQuery.split('&').find((each) => each.startsWith(`${key}=`))
  if (pair === undefined) return undefined
  const rawPath = pair.slice(key.length + 1).replace(/%2f/gi, '/')
  return {
    segments: parseSegments(rawPath),
    hasTrailingSlash: rawPath.endsWith('/') || rawPath === '',
  }
}

/** As they stand in an address: a plain `@` stays one. */
export function encodeSegments(segments: readonly TargetSegment[]): string {
  return segments
    .map(({ name, isSelector }) => (isSelector ? `@${encodeName(name.subarray(1))}` : encodeName(name)))
    .join('/')
}

function parseSegments(rawPath: string): TargetSegment[] {
  const segments: TargetSegment[] = []
  for (const raw of rawPath.split('/')) {
    if (raw === '') continue
    if (segments.length === MAX_SEGMENTS)
      throw new MirrorError('limit', `a path has ${MAX_SEGMENTS} names at most`)
    segments.push({ name: decodeName(raw), isSelector: raw.startsWith('@') })
  }
  return segments
}

/** One name, so that it survives any client: unreserved ASCII stays, every other byte is `%HH`. */
export function encodeName(name: Uint8Array): string {
  let out = ''
  for (const byte of name) {
    out += isUnreserved(byte)
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return out
}

function decodeName(raw: string): Uint8Array {
  const bytes = new Uint8Array(raw.length)
  let length = 0
  for (let at = 0; at < raw.length; at++) {
    const code = raw.charCodeAt(at)
    if (code === 0x25) {
      const digits = raw.slice(at + 1, at + 3)
      if (!/^[0-9a-fA-F]{2}$/.test(digits)) throw invalid('a percent sign is not followed by two hex digits')
      const byte = Number.parseInt(digits, 16)
      if (byte === 0) throw invalid('it holds a NUL byte')
      if (byte === 0x2f) throw invalid('it holds an encoded slash')
      bytes[length++] = byte
      at += 2
    } else if (code > 0xff) {
      // The HTTP parser hands bytes over as Latin-1, so this is no client's doing.
      throw invalid('it holds a character that is not a byte')
    } else {
      if (code < 0x20 || code === 0x7f) throw invalid('it holds a control character')
      bytes[length++] = code
    }
  }
  const name = bytes.slice(0, length)
  if (length > MAX_NAME_BYTES) throw new MirrorError('limit', `a name has ${MAX_NAME_BYTES} bytes at most`)
  if (name[0] === 0x2e && (length === 1 || (length === 2 && name[1] === 0x2e))) {
    throw invalid('`.` and `..` are not served')
  }
  return name
}

function isUnreserved(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2d ||
    byte === 0x2e ||
    byte === 0x5f ||
    byte === 0x7e
  )
}

function invalid(why: string): MirrorError {
  return new MirrorError('invalid', `the address is malformed: ${why}`)
}
