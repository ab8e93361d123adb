/**
 * Bearer tokens of this node: `api` ones open the API over TCP, each with a scope; `gateway` ones open private trees to
 * HTTP clients. They are this node's own and never travel in records.
 *
 *   mmt_ID_SECRET   ID: 12 hex digits, SECRET: 32 random bytes in base64url
 *
 * Only the SHA-256 of the secret is kept (it is random, so there is nothing to guess and no salt to add). What was
 * created or revoked is durable before the caller hears of it. A file that cannot be read stops the start: guessing at
 * who may come in is worse than not starting.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import type { Clock } from '../src/base/clock.ts'
import { asMirrorError, isMirrorError, MirrorError } from '../src/base/errors.ts'
import { isTreePattern } from '../src/base/names.ts'
import { Semaphore } from '../src/base/semaphore.ts'
import { makePrivateDir, writeDurably } from './durable-file.ts'

/** Each may do what those before it may. */
export const TOKEN_SCOPES = ['read', 'operate', 'admin'] as const
export type TokenScope = (typeof TOKEN_SCOPES)[number]

export const MAX_TOKENS = 1024
export const MAX_TOKEN_NAME = 256
const MAX_TREES = 64
/** One that has expired is still listed for so long, so that its owner learns why it ended. */
const SHOW_EXPIRED_MS = 30 * 24 * 3_600_000

const DIGEST = z.string().regex(/^[0-9a-f]{64}$/)
const COMMON = {
  id: z.string().regex(/^[0-9a-f]{12}$/),
  name: z.string().min(1).max(MAX_TOKEN_NAME),
  createdMs: z.number(),
  expiresMs: z.number().nullable(),
}
export const TREE_PATTERNS = z
  .array(z.string().refine(isTreePattern, 'is not a tree or pattern'))
  .min(1)
  .max(MAX_TREES)
const API = z.strictObject({ ...COMMON, kind: z.literal('api'), scope: z.enum(TOKEN_SCOPES) })
const GATEWAY = z.strictObject({ ...COMMON, kind: z.literal('gateway'), trees: TREE_PATTERNS })
const FILE = z.strictObject({
  mirrormeshTokens: z.literal(1),
  tokens: z
    .array(z.discriminatedUnion('kind', [API.extend({ digest: DIGEST }), GATEWAY.extend({ digest: DIGEST })]))
    .max(MAX_TOKENS),
})

export type ApiToken = Readonly<z.infer<typeof API>>
export type GatewayToken = Readonly<z.infer<typeof GATEWAY>>
export type Token = ApiToken | GatewayToken
type Stored = z.infer<typeof FILE>['tokens'][number]

export type NewToken = {
  readonly name: string
  /** Null: never. */
  readonly expiresMs: number | null
} & (
  | { readonly kind: 'api'; readonly scope: TokenScope }
  | { readonly kind: 'gateway'; readonly trees: readonly string[] }
)

export interface Tokens {
  /** Oldest first, expired ones included for a month. */
  list(): Token[]
  /** The text is shown this once and kept nowhere. @throws MirrorError `limit` when there are too many */
  create(wanted: NewToken): Promise<{ readonly text: string; readonly token: Token }>
  /** False when there is none. */
  revoke(id: string): Promise<boolean>
  /** The token of this kind that `text` is, when it is in force. Takes the same time whatever is wrong with it. */
  check<K extends Token['kind']>(text: string, kind: K): Extract<Token, { kind: K }> | undefined
  /** Whether one that was checked before is still in force. */
  isInForce(id: string): boolean
  /** Called when one was revoked. Returns the function that ends it. */
  onRevoked(listener: (id: string) => void): () => void
}

const TEXT = /^mmt_([0-9a-f]{12})_([A-Za-z0-9_-]{43})$/
/** Of no token: what an unknown id is compared with. */
const NO_DIGEST = Buffer.alloc(32)

export async function loadTokens({
  file,
  clock,
}: {
  readonly file: string
  readonly clock: Clock
}): Promise<Tokens> {
  let tokens = await readTokens(file)
  const turns = new Semaphore(1)
  const listeners = new Set<(id: string) => void>()

  /** Durable first, then in force. */
  async function write(next: readonly Stored[]): Promise<void> {
    await makePrivateDir(dirname(file))
    await writeDurably(file, `${JSON.stringify({ mirrormeshTokens: 1, tokens: next }, null, 2)}\n`, {
      mode: 0o600,
    }).catch((error) => {
      throw asMirrorError(error, `write the tokens, ${file}`)
    })
    tokens = new Map(next.map((each) => [each.id, each]))
  }

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const release = await turns.acquire()
    try {
      return await work()
    } finally {
      release()
    }
  }

  function isCurrent({ expiresMs }: Stored): boolean {
    return expiresMs === null || clock.nowMs() < expiresMs
  }

  return {
    list: () => [...tokens.values()].map(shown),
    create: (wanted) =>
      inTurn(async () => {
        const kept = [...tokens.values()].filter(
          ({ expiresMs }) => expiresMs === null || clock.nowMs() < expiresMs + SHOW_EXPIRED_MS,
        )
        if (kept.length >= MAX_TOKENS) {
          throw new MirrorError('limit', `this node has ${kept.length} tokens, which is the limit`, {
            hint: 'Revoke those that nobody uses: mirrormesh token revoke ID',
          })
        }
        const secret = randomBytes(32)
        const { name, expiresMs } = wanted
        const common = {
          id: randomBytes(6).toString('hex'),
          name,
          createdMs: clock.nowMs(),
          expiresMs,
          digest: digestOf(secret).toString('hex'),
        }
        const stored: Stored =
          wanted.kind === 'api'
            ? { ...common, kind: 'api', scope: wanted.scope }
            : { ...common, kind: 'gateway', trees: [...wanted.trees] }
        await write([...kept, stored])
        return { text: `mmt_${stored.id}_${secret.toString('base64url')}`, token: shown(stored) }
      }),
    revoke: (id) =>
      inTurn(async () => {
        if (!tokens.has(id)) return false
        await write([...tokens.values()].filter((each) => each.id !== id))
        for (const listener of listeners) listener(id)
        return true
      }),
    check<K extends Token['kind']>(text: string, kind: K) {
      const [, id = '', secret = ''] = TEXT.exec(text) ?? []
      const found = tokens.get(id)
      const digest = found === undefined ? NO_DIGEST : Buffer.from(found.digest, 'hex')
      const isRight = timingSafeEqual(digestOf(Buffer.from(secret, 'base64url')), digest)
      if (!isRight || found === undefined || found.kind !== kind || !isCurrent(found)) return undefined
      return shown(found) as Extract<Token, { kind: K }>
    },
    isInForce(id) {
      const found = tokens.get(id)
      return found !== undefined && isCurrent(found)
    },
    onRevoked(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/** True when `scope` includes what `needed` may do. */
export function scopeCovers(scope: TokenScope, needed: TokenScope): boolean {
  return TOKEN_SCOPES.indexOf(scope) >= TOKEN_SCOPES.indexOf(needed)
}

function digestOf(secret: Uint8Array): Buffer {
  return createHash('sha256').update(secret).digest()
}

function shown({ digest: _, ...token }: Stored): Token {
  return token
}

async function readTokens(file: string): Promise<ReadonlyMap<string, Stored>> {
  try {
    const { tokens } = FILE.parse(JSON.parse(await readFile(file, 'utf8')))
    return new Map(tokens.map((each) => [each.id, each]))
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return new Map()
    const error = asMirrorError(thrown, `read the tokens, ${file}`)
    if (isMirrorError(error, 'refused') || isMirrorError(error, 'io')) throw error
    throw new MirrorError('corrupt', `the tokens of this node cannot be read: ${file}`, {
      cause: error,
      hint: 'Bring the file back from a copy, or remove it: then every token has to be made again.',
    })
  }
}
