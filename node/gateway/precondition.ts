/**
 * Conditional requests (RFC 9110 section 13): validators of a file or a listing, and what the client's conditions
 * make of them.
 *
 * The entity tag is the CID of the bytes, so it is strong and the same at every site. A date is weaker: reproducible
 * builds give many versions of a file one mtime, and a moving address may go back to an older file. So dates count
 * only when they are exactly the file's (as nginx does), and If-Range with a date is honoured only where the address
 * is immutable: elsewhere the answer is the whole file, which is never wrong.
 */

export interface Validators {
  /** With its quotes. */
  readonly etag: string
  /** Seconds since 1970, when there is a usable one. */
  readonly modifiedSec?: number
  /** The address always names these bytes (`@<sequence>`). */
  readonly isImmutable: boolean
}

export interface ConditionHeaders {
  readonly 'if-match'?: string | undefined
  readonly 'if-none-match'?: string | undefined
  readonly 'if-modified-since'?: string | undefined
  readonly 'if-unmodified-since'?: string | undefined
  readonly 'if-range'?: string | undefined
}

export type ConditionResult = 'proceed' | 'not-modified' | 'failed'

/** In the order of RFC 9110 section 13.2.2. */
export function checkConditions(headers: ConditionHeaders, validators: Validators): ConditionResult {
  const match = headers['if-match']
  if (match !== undefined) {
    if (!tagMatches(match, validators.etag, { isStrong: true })) return 'failed'
  } else if (headers['if-unmodified-since'] !== undefined) {
    const sinceSec = parseHttpDate(headers['if-unmodified-since'])
    if (sinceSec !== undefined && validators.modifiedSec !== undefined && validators.modifiedSec > sinceSec) {
      return 'failed'
    }
  }
  const noneMatch = headers['if-none-match']
  if (noneMatch !== undefined) {
    return tagMatches(noneMatch, validators.etag, { isStrong: false }) ? 'not-modified' : 'proceed'
  }
  const sinceSec = parseHttpDate(headers['if-modified-since'])
  return sinceSec !== undefined && sinceSec === validators.modifiedSec ? 'not-modified' : 'proceed'
}

/** Whether a Range header may be honoured beside this If-Range. */
export function rangeApplies(ifRange: string | undefined, validators: Validators): boolean {
  if (ifRange === undefined) return true
  const text = ifRange.trim()
  if (text.startsWith('"')) return text === validators.etag
  if (text.startsWith('W/') || !validators.isImmutable) return false
  const dateSec = parseHttpDate(text)
  return dateSec !== undefined && dateSec === validators.modifiedSec
}

/** IMF-fixdate. */
export function httpDate(seconds: number): string {
  return new Date(seconds * 1000).toUTCString()
}

/** The mtime as Last-Modified may say it: not after now (RFC 9110 section 8.8.2.1), and within years of four digits. */
export function modifiedSecOf(mtimeSec: number, nowMs: number): number | undefined {
  if (mtimeSec < -62_135_596_800) return undefined
  return Math.min(mtimeSec, Math.floor(nowMs / 1000))
}

function parseHttpDate(text: string | undefined): number | undefined {
  if (text === undefined || !/^[A-Za-z]{3,9}[ ,]/.test(text)) return undefined
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000)
}

function tagMatches(header: string, etag: string, { isStrong }: { isStrong: boolean }): boolean {
  if (header.trim() === '*') return true
  for (const match of header.matchAll(/(W\/)?("[\x21\x23-\x7e\x80-\xff]*")/g)) {
    if (match[2] === etag && !(isStrong && match[1] !== undefined)) return true
  }
  return false
}
