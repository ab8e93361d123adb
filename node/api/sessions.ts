/**
 * Sessions of browsers: a token that was shown once stands behind each, and a session ends with it. They live in memory,
 * by the digest of their cookie: after a restart of the daemon one logs in again.
 *
 * Bounded: in all, and of one token, so that whoever has one cannot log the others out.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '../../src/base/clock.ts'
import type { ApiToken, Tokens } from '../tokens.ts'

export interface Session {
  readonly token: ApiToken
  readonly expiresMs: number
}

export interface Sessions {
  /** The cookie's value, shown this once. */
  open(token: ApiToken): { readonly secret: string; readonly expiresMs: number }
  find(secret: string): Session | undefined
  close(secret: string): void
}

export const SESSION_MS = 12 * 3_600_000

export function createSessions(
  { tokens, clock }: { readonly tokens: Pick<Tokens, 'isInForce'>; readonly clock: Clock },
  { maxSessions = 512, maxOfToken = 32 } = {},
): Sessions {
  /** Oldest first. */
  const sessions = new Map<string, Session>()

  function forget(): void {
    for (const [key, { token, expiresMs }] of sessions) {
      if (clock.nowMs() >= expiresMs || !tokens.isInForce(token.id)) sessions.delete(key)
    }
  }

  function dropOldest(isOne: (session: Session) => boolean, most: number): void {
    const found = [...sessions].filter(([, session]) => isOne(session))
    for (const [key] of found.slice(0, Math.max(0, found.length - most))) sessions.delete(key)
  }

  return {
    open(token) {
      forget()
      dropOldest((session) => session.token.id === token.id, maxOfToken - 1)
      dropOldest(() => true, maxSessions - 1)
      const secret = randomBytes(32).toString('base64url')
      const expiresMs = Math.min(clock.nowMs() + SESSION_MS, token.expiresMs ?? Number.POSITIVE_INFINITY)
      sessions.set(keyOf(secret), { token, expiresMs })
      return { secret, expiresMs }
    },
    find(secret) {
      const session = sessions.get(keyOf(secret))
      if (session === undefined || clock.nowMs() >= session.expiresMs) return undefined
      return tokens.isInForce(session.token.id) ? session : undefined
    },
    close: (secret) => void sessions.delete(keyOf(secret)),
  }
}

/** What is looked up by its digest tells nothing by the time that it takes. */
function keyOf(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url')
}
