/**
 * Signing in the CLI, with a key file of this home: the daemon says where the key's chain stands, the record is drafted
 * and signed here, and any node takes it. The key never leaves this process.
 */
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { type Cid, parseCid } from '../../src/block/cid.ts'
import { encodeCbor } from '../../src/block/codec.ts'
import type { Bodies, Kind } from '../../src/record/content.ts'
import { draftRecord, signRecord } from '../../src/record/draft.ts'
import type { KeyPair } from '../../src/record/key.ts'
import type { ChainDocument } from '../api/answers.ts'
import type { LentKind } from '../api/routes/operator-routes.ts'
import { loadKey } from '../keys.ts'
import type { Context } from './context.ts'
import { askPassphrase } from './passphrase.ts'

/** Of one verb: a passphrase is asked for once. */
const loaded = new WeakMap<Context, Promise<KeyPair>>()

/** @throws MirrorError `refused` when this home has no admin's key */
export function loadAdminKey(context: Context): Promise<KeyPair> {
  const known = loaded.get(context) ?? readAdminKey(context)
  loaded.set(context, known)
  return known
}

async function readAdminKey(context: Context): Promise<KeyPair> {
  const { paths } = context
  try {
    return await loadOwnKey(context, paths.adminKeyFile, 'the key of an admin')
  } catch (error) {
    if (!isMirrorError(error, 'not-found')) throw error
    throw new MirrorError(
      'refused',
      `this needs the key of an admin, and ${paths.adminKeyFile} does not exist`,
      {
        cause: error,
        hint: 'Run it where the mesh was started with init, or where an admin has put their key.',
      },
    )
  }
}

/** A key of a person, which may be protected by a passphrase. */
export function loadOwnKey(context: Context, file: string, what: string): Promise<KeyPair> {
  return loadKey(file, what, (question) => askPassphrase(context, question))
}

/** How often a record is signed anew because another use of the same key came between. */
const MAX_TRIES = 4

export async function signAndSubmit<K extends Kind>(
  context: Context,
  key: KeyPair,
  kind: K,
  body: Bodies[K],
): Promise<Cid> {
  const { api, clock, signal } = context
  for (let attempt = 1; ; attempt++) {
    const chain = await api.get<ChainDocument>(`/api/v1/chain/${key.peer}`, signal)
    const draft = draftRecord({
      kind,
      body,
      mesh: parseCid(chain.mesh),
      issuer: key.publicKey,
      tip: chain.prev === null ? undefined : { counter: chain.counter, id: parseCid(chain.prev) },
      timeMs: clock.nowMs(),
    })
    const record = Buffer.from(signRecord(draft, key)).toString('base64')
    try {
      await api.post('/api/v1/records', { record }, signal)
      return draft.id
    } catch (error) {
      if (!isMirrorError(error, 'conflict') || attempt === MAX_TRIES) throw error
    }
  }
}

export interface SignerOptions {
  /** By the node's key, even where an admin's is at hand. */
  readonly asNode?: boolean | undefined
}

/**
 * Signs what a grant may let this node say. Without `asNode` an admin's key is used when this home has one, else the
 * daemon signs with the node's.
 */
export async function signAsAdminOrNode<K extends LentKind>(
  context: Context,
  kind: K,
  body: Bodies[K],
  { asNode = false }: SignerOptions = {},
): Promise<Cid> {
  const admin = asNode ? undefined : await findAdminKey(context)
  if (admin !== undefined && !('missing' in admin)) return signAndSubmit(context, admin, kind, body)
  try {
    const { id } = await context.api.post<{ id: string }>(
      '/api/v1/operator/records',
      { kind, body: Buffer.from(encodeCbor(body)).toString('base64') },
      context.signal,
    )
    return parseCid(id)
  } catch (error) {
    if (!isMirrorError(error, 'refused')) throw error
    const hint = `An admin can let it: ${context.self} grant add SITE --role ROLE --tree PATTERN`
    if (admin === undefined) throw new MirrorError('refused', error.message, { cause: error, hint })
    throw new MirrorError('refused', `${admin.missing.message}; and ${error.message}`, { cause: error, hint })
  }
}

async function findAdminKey(context: Context): Promise<KeyPair | { readonly missing: MirrorError }> {
  try {
    return await loadAdminKey(context)
  } catch (error) {
    if (!isMirrorError(error, 'refused') || !isMirrorError(error.cause, 'not-found')) throw error
    return { missing: error }
  }
}

/** The version after the highest that any record of this name has, removed ones included. */
export async function nextVersion(
  { api, signal }: Context,
  of: { kind: 'tree' | 'tag' | 'pin' | 'site' | 'topology' | 'verdict'; name: string; tree?: string },
): Promise<number> {
  const query = new URLSearchParams({
    kind: of.kind,
    name: of.name,
    ...(of.tree === undefined ? {} : { tree: of.tree }),
  })
  const { version } = await api.get<{ version: number }>(`/api/v1/next-version?${query}`, signal)
  return version
}
