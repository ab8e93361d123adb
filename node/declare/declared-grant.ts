/** Grants in a mesh file: their schema, what has to be said so that a mesh has them, and those that it has. */
import { z } from 'zod'
import { isTreePattern } from '../../src/base/names.ts'
import { GRANT_ROLES, MAX_GRANT_TREES, OPERATOR_RIGHTS } from '../../src/record/kinds/grant.ts'
import type { GrantDocument } from '../api/routes/grant-routes.ts'

export const DECLARED_GRANT = z
  .strictObject({
    name: z.string().min(1).max(256),
    /** A site, or the PeerId of any key. */
    to: z.string().min(1).max(256),
    role: z.enum(GRANT_ROLES),
    trees: z
      .array(z.string().refine(isTreePattern, 'is not a tree or pattern'))
      .min(1)
      .max(MAX_GRANT_TREES)
      .transform((trees) => [...new Set(trees)].toSorted()),
    may: z
      .array(z.enum(OPERATOR_RIGHTS))
      .transform((may) => OPERATOR_RIGHTS.filter((right) => may.includes(right)))
      .default([]),
    until: z.iso.datetime({ offset: true }).transform(Date.parse).optional(),
  })
  .refine(
    ({ role, may }) => (role === 'operator') === may.length > 0,
    'has "may" exactly when it is of an operator',
  )

export type DeclaredGrant = z.infer<typeof DECLARED_GRANT>
type Facts = Pick<GrantDocument, 'peer' | 'role' | 'name' | 'trees' | 'may' | 'expiresMs'>

export type GrantChange =
  | { readonly kind: 'set-grant'; readonly grant: Facts; readonly text: string }
  | { readonly kind: 'remove-grant'; readonly grant: Facts; readonly text: string }

/** @param peerOf undefined for a site that has no member */
export function grantChanges(
  declared: readonly DeclaredGrant[],
  there: readonly GrantDocument[],
  peerOf: (who: string) => string | undefined,
  isPruning: boolean,
  notes: string[],
): GrantChange[] {
  const changes: GrantChange[] = []
  const active = new Map(
    there.filter(({ state }) => state === 'active').map((grant) => [keyOf(grant), grant]),
  )
  const wanted = new Set<string>()
  for (const { to, until, ...rest } of declared) {
    const peer = peerOf(to)
    if (peer === undefined) {
      notes.push(`${rest.name} is to be ${rest.role} and ${to} is no member yet`)
      continue
    }
    const grant: Facts = { ...rest, peer, expiresMs: until ?? null }
    const key = keyOf(grant)
    wanted.add(key)
    const found = active.get(key)
    if (found !== undefined && isSame(found, grant)) continue
    changes.push({
      kind: 'set-grant',
      grant,
      text: `${found === undefined ? '+' : '~'} grant ${textOf(grant)}`,
    })
  }
  for (const [key, { peer, role, name, trees, may, expiresMs }] of active) {
    const grant = { peer, role, name, trees, may, expiresMs }
    if (wanted.has(key)) continue
    if (isPruning) changes.push({ kind: 'remove-grant', grant, text: `- grant ${textOf(grant)}` })
    else notes.push(`the grant ${textOf(grant)} is not in the file; --prune takes it back`)
  }
  return changes
}

/** Those in force, as the file has them. */
export function describeGrants(
  grants: readonly GrantDocument[],
  siteOf: (peer: string) => string,
): unknown[] {
  return grants
    .filter(({ state }) => state === 'active')
    .map(({ name, peer, role, trees, may, expiresMs }) => ({
      name,
      to: siteOf(peer),
      role,
      trees,
      ...(may.length === 0 ? {} : { may }),
      ...(expiresMs === null ? {} : { until: new Date(expiresMs).toISOString() }),
    }))
}

function keyOf({ peer, role, name }: Pick<Facts, 'peer' | 'role' | 'name'>): string {
  return `${peer} ${role} ${name}`
}

function isSame(a: Facts, b: Facts): boolean {
  return a.expiresMs === b.expiresMs && a.trees.join() === b.trees.join() && a.may.join() === b.may.join()
}

function textOf({ name, role, trees, may, expiresMs }: Facts): string {
  const rights = may.length === 0 ? '' : ` for ${may.join(', ')}`
  const until = expiresMs === null ? '' : `, until ${new Date(expiresMs).toISOString()}`
  return `${name}, ${role} of ${trees.join(', ')}${rights}${until}`
}
