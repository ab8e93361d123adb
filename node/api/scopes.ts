/**
 * Scopes that depend on what is asked for, in one place; those of whole routes stand beside them (docs/api.md has all).
 *
 * read     sees what this node knows of the mesh, and the content of the trees that it holds
 * operate  steers what goes on, within what admins have signed: pins, tags, drains, checks, waiting jobs
 * admin    all else: who is in the mesh, and whatever reads or writes files of this machine as the daemon's user
 *
 * A record is signed by its own key, and the mesh judges it by that alone. The scope is a second lock, not the first.
 */
import { decodeCbor } from '../../src/block/codec.ts'
import { decodeStored, MAX_RECORD_BYTES } from '../../src/record/record.ts'
import type { TokenScope } from '../tokens.ts'
import type { JobKind } from './jobs/job-document.ts'
import type { RouteSpec } from './route-spec.ts'

export const SCOPE_OF_JOB: Readonly<Record<JobKind, TokenScope>> = {
  wait: 'operate',
  verify: 'operate',
  collect: 'operate',
  scrub: 'operate',
  publish: 'admin',
  'drop-versions': 'admin',
  'roll-back': 'admin',
  checkout: 'admin',
  adopt: 'admin',
  'drop-backing': 'admin',
}

/** Kinds of records that a token of the scope `operate` may bring; all others take `admin`. */
export const OPERATE_RECORDS: ReadonlySet<string> = new Set(['pin', 'tag', 'topology', 'site', 'encodings'])

export const JOB_SCOPE: RouteSpec['scope'] = {
  least: 'operate',
  of({ body }) {
    const { kind, checkout } = (body ?? {}) as { kind?: unknown; checkout?: unknown }
    // A folder of this machine is read and told of.
    if (kind === 'verify' && checkout !== undefined) return 'admin'
    return typeof kind === 'string' && Object.hasOwn(SCOPE_OF_JOB, kind)
      ? SCOPE_OF_JOB[kind as JobKind]
      : 'admin'
  },
}

export const RECORD_SCOPE: RouteSpec['scope'] = {
  least: 'operate',
  of({ body }) {
    const { record } = (body ?? {}) as { record?: unknown }
    return OPERATE_RECORDS.has(recordKind(record)) ? 'operate' : 'admin'
  },
}

/** What the node signs itself. A pin with a check-out has files written, at any path of any site: that is not steering. */
export const LENT_SCOPE: RouteSpec['scope'] = {
  least: 'operate',
  of({ body }) {
    const { kind, body: lent } = (body ?? {}) as { kind?: unknown; body?: unknown }
    if (kind === 'pin' && hasCheckout(lent)) return 'admin'
    return typeof kind === 'string' && OPERATE_RECORDS.has(kind) ? 'operate' : 'admin'
  },
}

function hasCheckout(text: unknown): boolean {
  if (typeof text !== 'string') return false
  try {
    const pin = decodeCbor(new Uint8Array(Buffer.from(text, 'base64')), 'pin', MAX_RECORD_BYTES)
    return typeof pin === 'object' && pin !== null && 'checkout' in pin
  } catch {
    // Not a body: it is refused with what is wrong with it.
    return false
  }
}

/** A folder of this machine takes `admin`. */
export const DIFF_SCOPE: RouteSpec['scope'] = {
  least: 'read',
  of: ({ query }) => (query.has('dir') ? 'admin' : 'read'),
}

/** Empty for what is no record. */
export function recordKind(record: unknown): string {
  if (typeof record !== 'string') return ''
  try {
    return decodeStored(new Uint8Array(Buffer.from(record, 'base64'))).kind
  } catch {
    // Not a record: whoever may bring any is told what is wrong with it.
    return ''
  }
}
