/**
 * The one error class of mirrormesh, with a closed list of codes.
 *
 * A missing thing is a value (`undefined`); an error states that something is wrong. The list of codes is
 * only ever added to: node/ maps each to an exit status and an HTTP status, in one table each.
 */

export const ERROR_CODES = [
  'invalid', // an argument, a name, a token or a setting is malformed
  'not-found', // the named thing does not exist
  'refused', // the asker has no right, or a rule forbids it
  'conflict', // the world moved since the caller looked
  'corrupt', // bytes do not match their CID, their signature or their format
  'limit', // a declared size, count or depth is over its bound
  'unreachable', // a peer, a daemon or a file cannot be reached
  'unsupported', // a version, a file system or a runtime lacks what is needed
  'no-space', // ENOSPC or EDQUOT, or the free-space check before a fetch
  'io', // any other failure of the operating system
  'timed-out',
  'aborted', // the caller's signal fired
  'busy', // try again later: a bound on work in progress was reached
  'unstable', // a source changed while it was read
  'partial', // some of it was done; the facts say what was not
  'degraded', // it works, with less than what was asked for
  'internal', // a defect of mirrormesh itself
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

/** Plain facts about an error, for logs and JSON: no secrets, no bytes. */
export type ErrorFacts = Readonly<Record<string, string | number | boolean | undefined>>

export interface MirrorErrorOptions {
  readonly facts?: ErrorFacts
  /** What to do next, as one sentence. */
  readonly hint?: string
  readonly cause?: unknown
}

export class MirrorError extends Error {
  readonly code: ErrorCode
  readonly facts: ErrorFacts
  readonly hint: string | undefined

  constructor(code: ErrorCode, message: string, { facts = {}, hint, cause }: MirrorErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'MirrorError'
    this.code = code
    this.facts = facts
    this.hint = hint
  }
}

/** True for a MirrorError, of the given code when one is named. */
export function isMirrorError(error: unknown, code?: ErrorCode): error is MirrorError {
  return error instanceof MirrorError && (code === undefined || error.code === code)
}

const SYSTEM_CODES: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  ENOENT: 'not-found',
  EACCES: 'refused',
  EPERM: 'refused',
  EROFS: 'refused',
  EADDRINUSE: 'conflict',
  ETIMEDOUT: 'timed-out',
  ECONNREFUSED: 'unreachable',
  ECONNRESET: 'unreachable',
  EHOSTUNREACH: 'unreachable',
}

/** What to do about it whoever meets it; a hint that the caller has comes first. */
const SYSTEM_HINTS: Readonly<Record<string, string>> = {
  EMFILE:
    'This process has as many files and connections open as it may: give it more (LimitNOFILE in its unit, or ulimit -n), or try again when it has less to do.',
  ENFILE:
    'This machine has as many files open as it may: sysctl fs.file-max. Try again when it has less to do.',
}

/** Of a thread that cannot be started or load its modules Node names the cause in the text only. */
function errnoOf(code: unknown, message = ''): string | undefined {
  const worker = /^Worker initialization failure: (E[A-Z0-9]+)$/.exec(message)?.[1]
  if (worker !== undefined) return worker
  const named = typeof code === 'string' ? code : undefined
  return named?.startsWith('ERR_') === true && message.includes('too many open files') ? 'EMFILE' : named
}

/**
 * Wraps whatever was thrown while doing `what` (for example "write pack 3"): a MirrorError passes unchanged, an
 * AbortError becomes `aborted`, a system error keeps its errno in the facts.
 */
export function asMirrorError(error: unknown, what: string, options: MirrorErrorOptions = {}): MirrorError {
  if (error instanceof MirrorError) return error
  const { name, code, message } = (error ?? {}) as { name?: string; code?: unknown; message?: string }
  if (name === 'AbortError')
    return new MirrorError('aborted', `${what}: aborted`, { ...options, cause: error })
  const errno = errnoOf(code, message)
  const facts = { ...options.facts, ...(errno === undefined ? {} : { errno }) }
  const kind =
    errno === undefined
      ? 'internal'
      : (SYSTEM_CODES[errno] ?? (/^E[A-Z0-9]+$/.test(errno) ? 'io' : 'internal'))
  const hint = options.hint ?? SYSTEM_HINTS[errno ?? '']
  return new MirrorError(kind, `${what}: ${message ?? String(error)}`, {
    ...options,
    ...(hint === undefined ? {} : { hint }),
    facts,
    cause: error,
  })
}
