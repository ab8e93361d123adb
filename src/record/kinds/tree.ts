/**
 * tree: an admin, or a publisher by a grant, declares a tree: who may read it and which keys may be named its publisher by an epoch.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | gate | {path: text, text: text} or {repository: 'deb' or 'rpm'} | optional: what a snapshot has to show before its head is signed |
 * | keep | {days?: int, last?: int} | optional: which complete snapshots stay where no pin says, as in a pin |
 * | kind | 'snapshot' or 'versioned' | optional, `simple` when absent: see TreeKind |
 * | name | text | the tree's name |
 * | publishers | [32 bytes] | keys that an epoch may name; rising strictly, at most 64 |
 * | readers | text | `members`: every member reads it; `granted`: its publishers and who has a reader's grant. A node that does not know a value ignores the record |
 * | removed | bool | a tombstone: no new heads are expected |
 * | version | int >= 1 | the highest counts |
 */
import { compareBytes } from '../../base/bytes.ts'
import {
  asBytes,
  checkRising,
  readBoolean,
  readFields,
  readInteger,
  readList,
  readText,
  readTreeName,
  wrong,
} from '../fields.ts'
import { KEY_BYTES, type PublicKey } from '../key.ts'
import { type PinKeep, readKeep } from './pin.ts'

/**
 * - `simple`: one moving tree.
 * - `versioned`: the folders at its root are versions. One that is published never changes; it comes and goes as a whole.
 * - `snapshot`: nothing is published that does not pass the gate, which such a tree must have.
 */
export type TreeKind = 'simple' | 'snapshot' | 'versioned'

export type TreeGate =
  | { readonly path: string; readonly text: string }
  | { readonly repository: 'deb' | 'rpm' }

export type TreeReaders = 'members' | 'granted'

export interface TreeBody {
  readonly name: string
  readonly readers: TreeReaders
  readonly publishers: readonly PublicKey[]
  /** `simple` when absent. */
  readonly kind?: 'snapshot' | 'versioned'
  readonly gate?: TreeGate
  readonly keep?: PinKeep
  readonly version: number
  readonly removed: boolean
}

export function decodeTree(value: unknown): TreeBody {
  const fields = readFields(
    value,
    'tree',
    ['name', 'readers', 'publishers', 'version', 'removed'],
    ['gate', 'keep', 'kind'],
  )
  if (fields.readers !== 'members' && fields.readers !== 'granted')
    throw wrong('readers', 'is of a form that this version does not know')
  const publishers = readList(fields, 'publishers', { max: 64 }, (key) =>
    asBytes(key, 'a publisher', KEY_BYTES),
  )
  checkRising(publishers, compareBytes, 'publishers')
  const { kind } = fields
  if (kind !== undefined && kind !== 'snapshot' && kind !== 'versioned')
    throw wrong('kind', 'is not one that this version knows')
  if (kind === 'snapshot' && fields.gate === undefined)
    throw wrong('gate', 'is missing: a tree of kind snapshot has one')
  return {
    name: readTreeName(fields, 'name'),
    readers: fields.readers,
    publishers,
    ...(kind === undefined ? {} : { kind }),
    ...(fields.gate === undefined ? {} : { gate: readGate(fields.gate) }),
    ...(fields.keep === undefined ? {} : { keep: readKeep(fields.keep) }),
    version: readInteger(fields, 'version', { min: 1 }),
    removed: readBoolean(fields, 'removed'),
  }
}

function readGate(value: unknown): TreeGate {
  const fields = readFields(value, 'gate', [], ['path', 'repository', 'text'])
  if (fields.repository !== undefined) {
    if (Object.keys(fields).length !== 1 || (fields.repository !== 'deb' && fields.repository !== 'rpm'))
      throw wrong('gate', 'is not one that this version knows')
    return { repository: fields.repository }
  }
  const path = readText(fields, 'path', 1024)
  if (path.split('/').some((name) => name === '' || name === '.' || name === '..'))
    throw wrong('path', 'is not a path from the root of the tree')
  return { path, text: readText(fields, 'text', 256) }
}
