import { CID } from 'multiformats/cid'
import { hex } from '../../src/base/bytes.ts'
import type { MeshState } from '../../src/record/mesh-state.ts'

/** A state as plain JSON-like data, with sorted maps: two states are the same exactly when these are. */
export function plainState(state: MeshState): unknown {
  const { mesh, name, admins, members, invites, trees, pins, removedPins, sites, takedowns, topology } = state
  const { verdicts, grants, revoked, alarms } = state
  return plain({
    mesh,
    name,
    admins,
    members,
    invites,
    trees,
    pins,
    removedPins,
    sites,
    takedowns,
    verdicts,
    topology,
    grants,
    revoked,
    alarms,
  })
}

/** The same of any part of one. */
export function plain(value: unknown): unknown {
  const cid = CID.asCID(value)
  if (cid !== null) return cid.toString()
  if (value instanceof Uint8Array) return hex(value)
  if (value instanceof Map) {
    return [...value]
      .map(([key, item]) => [key, plain(item)])
      .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1))
  }
  if (value instanceof Set) return [...value].sort()
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, item]) => [key, plain(item)]),
    )
  }
  return value
}
