/**
 * Who has declared a tree, and which of the declarations stands.
 *
 * A tree is the admins' when an admin's first version of it counts; else a publisher may have created it by a grant, with
 * itself as the only publisher. What admins say of a tree always goes before what publishers say: an admin's later
 * version changes a publisher's tree and leaves its epochs and heads as they are. So a grant for `logs/*` gives no hold
 * on a tree of that name that was there before, or that an admin has taken charge of.
 */
import { equalBytes } from '../../base/bytes.ts'
import { type PeerId, peerIdOf } from '../key.ts'
import type { TreeBody } from '../kinds/tree.ts'
import type { VerifiedRecord } from '../record.ts'
import type { Authority } from './authority.ts'
import { compareWriters, lastWriter, type Versioned } from './last-writer.ts'
import type { Publishers } from './tree-epochs.ts'
import type { Said, TreeRecords } from './tree-records.ts'

type Declaration = Said<TreeBody> & Versioned

export interface Declarations {
  readonly byAdmins: readonly Declaration[]
  readonly byPublishers: readonly Declaration[]
}

export function declarations({ name, trees }: TreeRecords, authority: Authority): Declarations {
  const byAdmins: Declaration[] = []
  const byOthers: Declaration[] = []
  for (const { record, body } of trees) {
    const declaration = { record, body, version: body.version }
    if (authority.adminObjection(record) === undefined) byAdmins.push(declaration)
    else byOthers.push(declaration)
  }
  if (isCreatedByAdmin(byAdmins)) return { byAdmins, byPublishers: [] }
  return {
    byAdmins,
    byPublishers: byOthers.filter(
      ({ record, body }) => publisherObjection(record, body, name, authority) === undefined,
    ),
  }
}

/** The declaration that counts. */
export function standing({ byAdmins, byPublishers }: Declarations): Declaration | undefined {
  if (byAdmins.length > 0) return lastWriter(byAdmins)
  const last = [...Map.groupBy(byPublishers, ({ record }) => record.issuerPeer).values()].flatMap(
    (own) => lastWriter(own) ?? [],
  )
  // Two publishers with the right to the name: until an admin decides, what hides and keeps goes before its opposite.
  return last.toSorted(
    (a, b) =>
      Number(b.body.readers === 'granted') - Number(a.body.readers === 'granted') ||
      Number(a.body.removed) - Number(b.body.removed) ||
      compareWriters(b, a),
  )[0]
}

/** Keys that some declaration lists: dropping one from the list does not undo the epochs that it had. */
export function publishersOf({ byAdmins, byPublishers }: Declarations): Publishers {
  const listed = new Set<PeerId>()
  for (const { body } of [...byAdmins, ...byPublishers])
    for (const key of body.publishers) listed.add(peerIdOf(key))
  return { listed, creators: new Set(byPublishers.map(({ record }) => record.issuerPeer)) }
}

/** Why the record declares nothing, whatever its version. */
export function declarationObjection(
  record: VerifiedRecord,
  body: TreeBody,
  records: TreeRecords,
  authority: Authority,
): string | undefined {
  const denied = authority.adminObjection(record)
  if (denied === undefined) return undefined
  const objection = publisherObjection(record, body, body.name, authority)
  if (objection !== undefined) return objection
  const { byAdmins } = declarations(records, authority)
  if (isCreatedByAdmin(byAdmins)) return `an admin created the tree ${body.name}`
  return byAdmins.length > 0 ? `an admin has taken charge of the tree ${body.name}` : undefined
}

function isCreatedByAdmin(byAdmins: readonly Declaration[]): boolean {
  return byAdmins.some(({ version }) => version === 1)
}

function publisherObjection(
  record: VerifiedRecord,
  body: TreeBody,
  tree: string,
  authority: Authority,
): string | undefined {
  const denied = authority.grantObjection(record, { role: 'publisher', tree })
  if (denied !== undefined) return denied
  const [only, ...others] = body.publishers
  return only !== undefined && others.length === 0 && equalBytes(only, record.issuer)
    ? undefined
    : 'a tree that a publisher creates has that publisher and no other'
}
