/**
 * takedown: an admin has snapshots of a tree taken off every site, such as those that hold a leaked file.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | name | text, 1-1600 | what a later version replaces; `takedownName` makes the usual one |
 * | path | text or null | a path below the tree's root: of the snapshots up to `through`, those go too that have it |
 * | reason | text, 1-256 | for people |
 * | removed | bool | it is lifted: what is still somewhere may be fetched again |
 * | snapshots | [CID] | those known to go; rising by their bytes, at most 512 |
 * | through | int >= 0 | the sequence of the tree's head when it was said |
 * | tree | text | the tree's name |
 * | version | int >= 1 | the highest counts |
 */
import { compareBytes } from '../../base/bytes.ts'
import { isFilterPath } from '../../base/path-filter.ts'
import { type Cid, checkCid, DAG_CBOR } from '../../block/cid.ts'
import {
  checkRising,
  readBoolean,
  readFields,
  readInteger,
  readList,
  readText,
  readTreeName,
  wrong,
} from '../fields.ts'

export interface TakedownBody {
  readonly name: string
  readonly tree: string
  readonly snapshots: readonly Cid[]
  readonly path: string | null
  readonly through: number
  readonly reason: string
  readonly version: number
  readonly removed: boolean
}

export const MAX_TAKEN_DOWN = 512
const MAX_NAME_CHARACTERS = 1600
export const MAX_REASON_CHARACTERS = 256

export function decodeTakedown(value: unknown): TakedownBody {
  const fields = readFields(value, 'takedown', [
    ...['name', 'tree', 'snapshots', 'path', 'through', 'reason', 'version', 'removed'],
  ])
  const snapshots = readList(fields, 'snapshots', { max: MAX_TAKEN_DOWN }, readSnapshot)
  checkRising(snapshots, (a, b) => compareBytes(a.bytes, b.bytes), 'snapshots')
  const { path } = fields
  if (path !== null && !isFilterPath(path)) throw wrong('path', 'is no path of names joined by slashes')
  if (path === null && snapshots.length === 0) throw wrong('snapshots', 'names none, and there is no path')
  return {
    name: readText(fields, 'name', MAX_NAME_CHARACTERS),
    tree: readTreeName(fields, 'tree'),
    snapshots,
    path,
    through: readInteger(fields, 'through'),
    reason: readText(fields, 'reason', MAX_REASON_CHARACTERS),
    version: readInteger(fields, 'version', { min: 1 }),
    removed: readBoolean(fields, 'removed'),
  }
}

export function takedownName(
  tree: string,
  what: { readonly path: string } | { readonly sequence: number },
): string {
  return 'path' in what ? `${tree}:${what.path}` : `${tree}@${what.sequence}`
}

function readSnapshot(value: unknown): Cid {
  const cid = readCid(value)
  if (cid.code !== DAG_CBOR) throw wrong('snapshots', 'holds what is not a dag-cbor node')
  return cid
}

function readCid(value: unknown): Cid {
  try {
    return checkCid(value)
  } catch (error) {
    throw wrong('snapshots', 'holds what is not a CID', error)
  }
}
