/** /api/v1/members, /admins and /records: who is in the mesh, and who said what. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { MirrorError } from '../../../src/base/errors.ts'
import { cidFromDigest, DAG_CBOR } from '../../../src/block/cid.ts'
import type { Member } from '../../../src/record/mesh-state.ts'
import { isMemberAt } from '../../../src/record/mesh-state.ts'
import type { VerifiedRecord } from '../../../src/record/record.ts'
import { describeRecord, isAbout } from '../describe-record.ts'
import { LIMIT, PAGE_QUERY, pageOf } from '../page.ts'
import { parseQuery } from '../parse.ts'
import { isInForce } from '../record-standing.ts'
import { says } from '../route-spec.ts'
import type { AdminsDocument, MemberDocument, RecordDocument, RecordPage } from '../schema/member-answers.ts'
import { ADMINS, MEMBER, RECORD } from '../schema/member-schema.ts'
import type { Services } from '../services.ts'

const MAX_RECORDS = 1000

const RECORDS_QUERY = z.object({
  limit: LIMIT,
  cursor: z.string().optional().describe('of the page before'),
  kind: z.string().optional(),
  subject: z.string().optional().describe('a tree, a pin, a site or a key'),
})
const RECORD_PAGE = z.strictObject({ records: z.array(RECORD), cursor: z.string().nullable() })

export function addMemberRoutes(app: FastifyInstance, services: Services): void {
  const { ledger } = services

  app.get(
    '/api/v1/members',
    says({
      summary: 'Every member, active or not',
      scope: 'read',
      query: PAGE_QUERY,
      answer: z.strictObject({ members: z.array(MEMBER), cursor: z.string().nullable() }),
    }),
    ({ url }) => {
      const connected = new Set(services.host.peers().map(({ peer }) => peer))
      const members = [...ledger.state().members.values()].map((member) =>
        describeMember(services, member, connected.has(member.peer)),
      )
      const keyOf = ({ site, peer }: MemberDocument): string => `${site} ${peer}`
      const sorted = members.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
      const { items, cursor } = pageOf(sorted, keyOf, parseQuery(PAGE_QUERY, url))
      return { members: items, cursor }
    },
  )

  app.get(
    '/api/v1/admins',
    says({ summary: "The admins' keys and how many must agree", scope: 'read', answer: ADMINS }),
    (): AdminsDocument => {
      const admins = ledger.state().admins
      if (admins === undefined)
        throw new MirrorError('degraded', 'the genesis of the mesh has not arrived yet')
      const { keys, threshold, recovery, origin } = admins
      return { keys, threshold, recovery, record: origin.record.toString(), timeMs: origin.timeMs }
    },
  )

  app.get(
    '/api/v1/records',
    says({
      summary: 'The records of the mesh, newest first',
      scope: 'read',
      query: RECORDS_QUERY,
      answer: RECORD_PAGE,
    }),
    ({ url }): RecordPage => {
      const { limit: wanted = 100, cursor, kind, subject } = parseQuery(RECORDS_QUERY, url)
      const limit = Math.min(wanted, MAX_RECORDS)
      const found = newestRecords(services, { limit: limit + 1, after: readPlace(cursor), kind, subject })
      const records = found.slice(0, limit)
      const last = records.at(-1)
      return {
        records,
        cursor: found.length > limit && last !== undefined ? `${last.timeMs}-${last.id}` : null,
      }
    },
  )
}

function describeMember(
  { ledger, clock, readSelf }: Services,
  member: Member,
  isConnected: boolean,
): MemberDocument {
  const state = ledger.state()
  const tip = ledger.tip(member.key)
  const isExpired = member.isActive && !isMemberAt(state, member.peer, clock.nowMs())
  return {
    peer: member.peer,
    site: member.site,
    region: member.region,
    roles: member.roles,
    state: !member.isActive ? 'revoked' : isExpired ? 'expired' : 'active',
    isConnected: isConnected || member.peer === readSelf().peer,
    expiresMs: member.expiresMs,
    admittedBy: member.origin.issuer,
    invite: member.invite ?? null,
    timeMs: member.origin.timeMs,
    record: member.origin.record.toString(),
    version: member.version,
    publishes: [...state.trees.values()]
      .filter((tree) => !tree.body.removed && tree.epoch?.publisher === member.peer)
      .map(({ name }) => name)
      .toSorted(),
    chain: { counter: tip?.counter ?? 0, last: tip?.id.toString() ?? null },
  }
}

interface Wanted {
  readonly limit: number
  readonly after: Place | undefined
  readonly kind: string | undefined
  readonly subject: string | undefined
}

interface Place {
  readonly timeMs: number
  readonly id: string
}

/** Newest first, by the issuers' clocks. One pass over the ids; holds `limit` of them at a time, twice at most. */
function newestRecords(services: Services, { limit, after, kind, subject }: Wanted): RecordDocument[] {
  const { ledger } = services
  const kept: { record: VerifiedRecord; id: string }[] = []
  const trim = (): void => {
    kept.sort((a, b) => compare({ timeMs: a.record.timeMs, id: a.id }, { timeMs: b.record.timeMs, id: b.id }))
    kept.length = Math.min(kept.length, limit)
  }
  let oldest: Place | undefined
  for (const digest of ledger.ids()) {
    const cid = cidFromDigest(DAG_CBOR, digest)
    const record = ledger.record(cid)
    if (record === undefined || (kind !== undefined && record.kind !== kind)) continue
    if (oldest !== undefined && record.timeMs < oldest.timeMs) continue
    const place = { timeMs: record.timeMs, id: cid.toString() }
    if (after !== undefined && compare(place, after) <= 0) continue
    if (subject !== undefined && !isAbout(record, subject)) continue
    kept.push({ record, id: place.id })
    if (kept.length < 2 * limit) continue
    trim()
    const last = kept.at(-1)!
    oldest = { timeMs: last.record.timeMs, id: last.id }
  }
  trim()
  return kept.map(({ record }) => recordDocument(services, record))
}

export function recordDocument(
  { ledger, readSelf }: Pick<Services, 'ledger' | 'readSelf'>,
  record: VerifiedRecord,
): RecordDocument {
  const { members, admins } = ledger.state()
  const { issuerPeer: issuer } = record
  const self = readSelf()
  return {
    id: record.id.toString(),
    kind: record.kind,
    ...describeRecord(record),
    isInForce: isInForce(ledger.state(), record),
    issuer,
    issuerSite: members.get(issuer)?.site ?? (issuer === self.peer ? self.site : null),
    isAdmin: admins?.keys.includes(issuer) === true,
    counter: record.counter,
    timeMs: record.timeMs,
  }
}

/** Negative: `a` is newer. */
function compare(a: Place, b: Place): number {
  return b.timeMs - a.timeMs || (a.id === b.id ? 0 : a.id < b.id ? -1 : 1)
}

function readPlace(text: string | undefined): Place | undefined {
  if (text === undefined) return undefined
  const match = /^(-?\d{1,16})-(b[a-z2-7]{20,120})$/.exec(text)
  if (match === null) throw new MirrorError('invalid', 'cursor is not one that this API gave')
  return { timeMs: Number(match[1]), id: match[2]! }
}
