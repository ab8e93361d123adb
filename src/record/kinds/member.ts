/**
 * member: a node belongs to the mesh, at a site of a region, with roles. Issued by an admin, or by the admitter of an
 * invite: then it names the invite, is version 1 and repeats the invite's site, region and roles.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | expiresMs | int or null | membership ends by itself then, unless renewed by a higher version |
 * | invite | CID or null | the invite that it uses up |
 * | peer | 32 bytes | the node's key |
 * | region, site | text, one segment | where it stands |
 * | roles | [text] | `site` today; rising strictly, 1 to 16; an unknown role gives no right |
 * | version | int >= 1 | the highest counts: see "last writer wins" in docs/formats.md |
 */

import { isSegment } from '../../base/names.ts'
import type { Cid } from '../../block/cid.ts'
import {
  checkRising,
  type Fields,
  readBytes,
  readCidOrNull,
  readFields,
  readInteger,
  readList,
  readSegment,
  wrong,
} from '../fields.ts'
import { KEY_BYTES, type PublicKey } from '../key.ts'

export interface MemberBody {
  readonly peer: PublicKey
  readonly site: string
  readonly region: string
  readonly roles: readonly string[]
  readonly invite: Cid | null
  readonly expiresMs: number | null
  readonly version: number
}

export function decodeMember(value: unknown): MemberBody {
  const fields = readFields(value, 'member', [
    'peer',
    'site',
    'region',
    'roles',
    'invite',
    'expiresMs',
    'version',
  ])
  const body = {
    peer: readBytes(fields, 'peer', KEY_BYTES),
    site: readSegment(fields, 'site'),
    region: readSegment(fields, 'region'),
    roles: readRoles(fields, 'roles'),
    invite: readCidOrNull(fields, 'invite'),
    expiresMs: fields.expiresMs === null ? null : readInteger(fields, 'expiresMs', { min: 1 }),
    version: readInteger(fields, 'version', { min: 1 }),
  }
  if (body.invite !== null && body.version !== 1) throw wrong('member', 'by an invite must be version 1')
  return body
}

export function readRoles(fields: Fields, name: string): string[] {
  const roles = readList(fields, name, { min: 1, max: 16 }, (role) => {
    if (!isSegment(role)) throw wrong(name, 'holds what is not a name of one segment')
    return role
  })
  checkRising(roles, (a, b) => (a < b ? -1 : a > b ? 1 : 0), name)
  return roles
}
