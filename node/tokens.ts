/**
 * Tokens of this node, for those who are no members of the mesh: clients of the gateway that read private trees, and
 * users of the API over the network. Each has one use, an expiry and a label; what is kept of it is a digest, so whoever
 * reads the file (or a backup of it) cannot use one.
 *
 * Invariants: a token is durable before it is handed out, and its end is durable before it is told; a check takes the same
 * steps whether the token exists or not.
 *
 * A token is `mmt_`, an id of 8 random bytes, `_`, and a secret of 32, both in hex. The secret is as long as a key, so one
 * SHA-256 is enough: there is nothing to guess.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import type { Clock } from '../src/base/clock.ts'
import { asMirrorError, isMirrorError, MirrorError } from '../src/base/errors.ts'
import { isTreePattern, matchesTree } from '../src/base/names.ts'
import { Semaphore } from '../src/base/semaphore.ts'
import { makePrivateDir, writeDurably } from './durable-file.ts'

export const API_SCOPES = ['read', 'operate', 'admin'] as const
export type ApiScope = (typeof API_SCOPES)[number]

export const MAX_TOKEN_PATTERNS = 64
export const MAX_LABEL_BYTES = 256
/** Far more than a node has clients of different rights. */
const MAX_TOKENS = 4096
/** How long a token that has expired is still listed. */
const KEEP_EXPIRED_MS = 30 * 24 * 3_600_000

const useSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('gateway'),
    /** Of private trees that may be read; patterns as in pins. */
    trees: z
      .array(z.string().refine(isTreePattern, "is not a tree's name or pattern"))
      .min(1)
      .max(MAX_TOKEN_PATTERNS),
  }),
  z.strictObject({ kind: z.literal('api'), scope: z.enum(API_SCOPES) }),
])

/** It is printed. */
const labelSchema = z
  .string()
  .max(MAX_LABEL_BYTES)
  .regex(/^\P{Cc}*$/u, 'holds a control character')

export const tokenRequestSchema = z.strictObject({
  use: useSchema,
  label: labelSchema.default(''),
  expiresMs: z.number().int().positive(),
})

const tokenSchema = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  use: useSchema,
  label: labelSchema,
  createdMs: z.number().int(),
  expiresMs: z.number().int(),
})
const fileSchema = z.strictObject({
  version: z.literal(1),
  tokens: z.array(tokenSchema).max(MAX_TOKENS),
})

export type TokenUse = z.infer<typeof useSchema>
export type TokenRequest = z.infer<typeof tokenRequestSchema>
/** What may be shown of a token. */
export type TokenInfo = Omit<z.infer<typeof tokenSchema>, 'hash'>

export interface Tokens {
  /** @returns the token itself, which is kept nowhere. @throws MirrorError `invalid`, `limit` */
  create(request: TokenRequest): Promise<{ readonly token: string; readonly info: TokenInfo }>
  /** Newest first, those that expired of late among them. */
  list(): TokenInfo[]
  /**
   * It counts no more, at once and after a restart.
   * @param id the id, or a beginning of it that no other has. @throws MirrorError `not-found`, `conflict`
   */
  revoke(id: string): Promise<TokenInfo>
  /** Undefined for one that does not exist, was revoked or has expired. */
  check(token: string): TokenInfo | undefined
}

const TOKEN = /^mmt_([0-9a-f]{16})_([0-9a-f]{64})$/
/** What is compared where there is nothing to compare with. */
const NO_HASH = Buffer.alloc(32)

/** @throws MirrorError `corrupt` for a file that is not one of ours, `unsupported` for a later version's */
export async function openTokens({
  file,
  clock,
}: {
  readonly file: string
  readonly clock: Clock
}): Promise<Tokens> {
  let known = new Map((await readTokens(file)).map((token) => [token.id, token]))
  const turn = new Semaphore(1)

  async function save(next: Map<string, z.infer<typeof tokenSchema>>): Promise<void> {
    await makePrivateDir(dirname(file))
    const text = JSON.stringify({ version: 1, tokens: [...next.values()] }, null, 1)
    await writeDurably(file, `${text}\n`, { mode: 0o600 })
    known = next
  }

  return {
    create: (request) =>
      turn.run(async () => {
        const nowMs = clock.nowMs()
        if (request.expiresMs <= nowMs)
          throw new MirrorError('invalid', 'the token would have expired already')
        const next = new Map([...known].filter(([, { expiresMs }]) => expiresMs + KEEP_EXPIRED_MS > nowMs))
        if (next.size >= MAX_TOKENS) {
          throw new MirrorError('limit', `this node has ${MAX_TOKENS} tokens, and takes no more`, {
            hint: 'Revoke those that nobody needs: mirrormesh token list',
          })
        }
        const id = randomBytes(8).toString('hex')
        const secret = randomBytes(32).toString('hex')
        const info = { id, ...request, createdMs: nowMs }
        next.set(id, { ...info, hash: hashOf(id, secret).toString('hex') })
        await save(next)
        return { token: `mmt_${id}_${secret}`, info }
      }),
    list: () => [...known.values()].map(shown).toSorted((a, b) => b.createdMs - a.createdMs),
    revoke: (id) =>
      turn.run(async () => {
        const found = id.length < 4 ? [] : [...known.values()].filter((token) => token.id.startsWith(id))
        const [token] = found
        if (token === undefined) {
          throw new MirrorError('not-found', `this node has no token ${JSON.stringify(id.slice(0, 80))}`, {
            hint: 'See: mirrormesh token list',
          })
        }
        if (found.length > 1) {
          throw new MirrorError('conflict', `${found.length} tokens begin with ${id}: write more of the id`)
        }
        const next = new Map(known)
        next.delete(token.id)
        await save(next)
        return shown(token)
      }),
    check(text) {
      const [, id = '', secret = ''] = TOKEN.exec(text) ?? []
      const token = known.get(id)
      const isRight = timingSafeEqual(
        hashOf(id, secret),
        token === undefined ? NO_HASH : Buffer.from(token.hash, 'hex'),
      )
      return token !== undefined && isRight && clock.nowMs() < token.expiresMs ? shown(token) : undefined
    },
  }
}

/** Whether the token opens this private tree at the gateway. */
export function opensTree({ use }: Pick<TokenInfo, 'use'>, tree: string): boolean {
  return use.kind === 'gateway' && use.trees.some((pattern) => matchesTree(pattern, tree))
}

function shown({ hash: _hash, ...info }: z.infer<typeof tokenSchema>): TokenInfo {
  return info
}

function hashOf(id: string, secret: string): Buffer {
  return createHash('sha256').update(`mirrormesh/token/1\0${id}\0${secret}`).digest()
}

async function readTokens(file: string): Promise<z.infer<typeof tokenSchema>[]> {
  try {
    const parsed: unknown = JSON.parse(await readFile(file, 'utf8'))
    const { version } = z.object({ version: z.number() }).parse(parsed)
    if (version > 1) {
      throw new MirrorError(
        'unsupported',
        `the tokens in ${file} are of version ${version}: this program reads 1`,
        {
          hint: 'Run the newer mirrormesh that wrote them.',
        },
      )
    }
    return fileSchema.parse(parsed).tokens
  } catch (error) {
    if (isMirrorError(error)) throw error
    const cause = asMirrorError(error, `read the tokens in ${file}`)
    if (cause.code === 'not-found') return []
    if (error instanceof SyntaxError || error instanceof z.ZodError) {
      throw new MirrorError('corrupt', `the tokens in ${file} cannot be read`, {
        cause: error,
        hint: 'Move the file aside: no token counts then, and new ones have to be made.',
      })
    }
    throw cause
  }
}
