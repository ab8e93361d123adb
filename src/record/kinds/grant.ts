/**
 * grant: an admin lends a key a part of what admins may do, or the right to read.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | counter | int >= 0 | of `last`; 0 when this version decides about all that the key signs |
 * | expiresMs | int or null | what the key signs with a later time does not count, and it reads nothing after it |
 * | grants | [32 bytes] | exactly one: the key. A list of that name makes nodes of earlier versions relay what it signs |
 * | last | CID or null | the last record of the key about which the versions before this one decide; null exactly when counter is 0 |
 * | may | [text] | of an operator: which of `drains`, `pins`, `tags`; rising strictly, at least one. Else empty |
 * | name | text, 1-256 | for people; a later version of the same key, role and name replaces it |
 * | removed | bool | a tombstone: the key has no right by it any more |
 * | role | text | `operator`, `publisher` or `reader` |
 * | trees | [text] | names or patterns of trees; rising strictly, 1 to 64 |
 * | version | int >= 1 | the highest counts, for the records after its `last` |
 *
 * An operator's pins and tags of these trees count as an admin's would (and its drains of any site); a publisher may
 * create trees of these names, with itself as their only publisher; a reader reads private trees of these names.
 */
import { isTreePattern } from '../../base/names.ts'
import type { Cid } from '../../block/cid.ts'
import {
  asBytes,
  checkRising,
  type Fields,
  readBoolean,
  readCidOrNull,
  readFields,
  readInteger,
  readList,
  readText,
  wrong,
} from '../fields.ts'
import { KEY_BYTES, type PublicKey } from '../key.ts'

export const GRANT_ROLES = ['operator', 'publisher', 'reader'] as const
export type GrantRole = (typeof GRANT_ROLES)[number]
export const OPERATOR_RIGHTS = ['drains', 'pins', 'tags'] as const
export type OperatorRight = (typeof OPERATOR_RIGHTS)[number]
export const MAX_GRANT_TREES = 64

export interface GrantBody {
  /** The one key that it is about. */
  readonly grants: readonly PublicKey[]
  readonly name: string
  readonly role: GrantRole
  readonly trees: readonly string[]
  readonly may: readonly OperatorRight[]
  readonly expiresMs: number | null
  /** Of `last`. */
  readonly counter: number
  /** What the key signed up to here is judged by the versions before. */
  readonly last: Cid | null
  readonly version: number
  readonly removed: boolean
}

const FIELDS = [
  'grants',
  'name',
  'role',
  'trees',
  'may',
  'expiresMs',
  'counter',
  'last',
  'version',
  'removed',
] as const

export function decodeGrant(value: unknown): GrantBody {
  const fields = readFields(value, 'grant', FIELDS)
  const body = {
    grants: readList(fields, 'grants', { min: 1, max: 1 }, (key) => asBytes(key, 'a key', KEY_BYTES)),
    name: readText(fields, 'name', 256),
    role: oneOf(fields.role, GRANT_ROLES, 'role'),
    trees: readPatterns(fields),
    may: readList(fields, 'may', { max: OPERATOR_RIGHTS.length }, (right) =>
      oneOf(right, OPERATOR_RIGHTS, 'may'),
    ),
    expiresMs: fields.expiresMs === null ? null : readInteger(fields, 'expiresMs', { min: 1 }),
    counter: readInteger(fields, 'counter'),
    last: readCidOrNull(fields, 'last'),
    version: readInteger(fields, 'version', { min: 1 }),
    removed: readBoolean(fields, 'removed'),
  }
  checkRising(body.may, compareText, 'may')
  if (body.may.length > 0 !== (body.role === 'operator')) {
    throw wrong('may', 'is for an operator, who has at least one of drains, pins and tags')
  }
  if ((body.last === null) !== (body.counter === 0))
    throw wrong('counter', 'must be 0 exactly when last is null')
  return body
}

function readPatterns(fields: Fields): string[] {
  const trees = readList(fields, 'trees', { min: 1, max: MAX_GRANT_TREES }, (pattern) => {
    if (!isTreePattern(pattern)) throw wrong('trees', "holds what is not a tree's name or pattern")
    return pattern
  })
  checkRising(trees, compareText, 'trees')
  return trees
}

function oneOf<T extends string>(value: unknown, all: readonly T[], name: string): T {
  const found = all.find((each) => each === value)
  if (found === undefined) throw wrong(name, `holds what is none of ${all.join(', ')}`)
  return found
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
