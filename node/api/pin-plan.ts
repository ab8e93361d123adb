/**
 * What a change of a pin would set in motion: which sites fetch what, from where, for how long, and what their disks hold
 * afterwards. Worked out of the records and of what the sites last said; nothing is changed.
 *
 * The id of a plan is a digest of the change and of all that it rests on in the records: other pins, the heads of the trees,
 * who is a member, labels, links. What sites say from moment to moment is not in it.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { matchesTree } from '../../src/base/names.ts'
import { covers, filterKey, type PathFilter } from '../../src/base/path-filter.ts'
import type { Block } from '../../src/block/block.ts'
import { type Cid, cidKey } from '../../src/block/cid.ts'
import type { NodeSource } from '../../src/dag/reader.ts'
import { makeView } from '../../src/dag/snapshot-view.ts'
import { listNewBlocks } from '../../src/delta/list-new-blocks.ts'
import { decodePin, type PinBody, pinName } from '../../src/record/kinds/pin.ts'
import type { Head, Member, MeshState, TreeState } from '../../src/record/mesh-state.ts'
import { filterOf, hasRight, isPinned, isWanted } from '../../src/replica/goals.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { NO_TOPOLOGY, pathBetween } from '../../src/topology/topology.ts'
import { findSnapshot } from './find-snapshot.ts'
import { secondsToFetch } from './pin-plan-time.ts'
import type { Services } from './services.ts'

const NAME = z.string().min(1).max(64)

export const PIN_CHANGE = z.strictObject({
  tree: z.string().min(1).max(600),
  sites: z.union([
    z.strictObject({ all: z.literal(true) }),
    z.strictObject({ label: NAME }),
    z.strictObject({ region: NAME }),
    z.strictObject({ site: NAME }),
  ]),
  checkout: z.string().optional(),
  versions: z.int().optional(),
  keep: z.strictObject({ last: z.int().optional(), days: z.int().optional() }).optional(),
  copies: z.int().optional(),
  priority: z.int().optional(),
  class: z.literal('urgent').optional(),
  paths: z
    .strictObject({ include: z.array(z.string()).readonly(), exclude: z.array(z.string()).readonly() })
    .optional(),
  removed: z.boolean(),
})

export const PLANNED_TREE = z.strictObject({
  tree: z.string(),
  sequence: z.int(),
  /** Of blocks, plain: what travels is less where it is compressed, or made of deltas. */
  bytes: z.int(),
  /** What the site holds of it is not known here block by block: it may be less. */
  isUpperBound: z.boolean(),
  /** Sites that hold it in full, the nearest first; empty when none is known to. */
  from: z.array(z.string()),
})

export const PLANNED_SITE = z.strictObject({
  site: z.string(),
  region: z.string(),
  state: z.string(),
  trees: z.array(PLANNED_TREE),
  bytes: z.int(),
  /** By the declared rates; null when nothing is declared of the links that it takes. */
  seconds: z.number().nullable(),
  /** As the site last said, and what would be left of it; null when it has said nothing. */
  freeBytes: z.int().nullable(),
  freeAfterBytes: z.int().nullable(),
})

export const PIN_PLAN = z.strictObject({
  id: z.string(),
  /** The body of the record that makes it so. */
  pin: z.looseObject({ name: z.string(), tree: z.string(), version: z.int(), removed: z.boolean() }),
  /** Those that fetch something, or would at once if it were there. */
  sites: z.array(PLANNED_SITE),
  /** Of all sites. */
  bytes: z.int(),
  /** Until the last site is complete. */
  seconds: z.number().nullable(),
  /** What sites no longer keep: it stays there for a while. */
  released: z.array(z.strictObject({ site: z.string(), trees: z.array(z.string()) })),
  notes: z.array(z.string()),
})

export type PinChange = z.infer<typeof PIN_CHANGE>
export type PlannedTree = z.infer<typeof PLANNED_TREE>
export type PlannedSite = z.infer<typeof PLANNED_SITE>
export type PinPlan = Omit<z.infer<typeof PIN_PLAN>, 'pin'> & { readonly pin: PinBody }

/** Pairs of snapshots that are compared block by block; of more, upper bounds are given. */
const MAX_COMPARED = 16
const MAX_SOURCES = 3
/** Folders that are written anew under a path filter, in memory. */
const MAX_VIEW_BYTES = 64 * 1024 * 1024
const MAX_NO_RIGHT = 20

/** @throws MirrorError `invalid` for a change that makes no pin, `not-found` for the removal of one that there is not */
export async function planPin(
  services: Pick<Services, 'ledger' | 'blocks' | 'complete' | 'readStatus' | 'clock'>,
  change: PinChange,
  nextVersion: number,
  held: AbortSignal,
): Promise<PinPlan> {
  const before = services.ledger.state()
  const pin = bodyOf(change, nextVersion)
  if (pin.removed && !before.pins.has(pin.name))
    throw new MirrorError('not-found', `there is no pin ${pin.name}`, { hint: 'See: mirrormesh pin list' })
  const after = withPin(before, pin)
  const status = services.readStatus()
  const bytesOf = createByteCounter(services, status, held)
  const trees = [...before.trees.values()].filter(
    ({ name, body }) => !body.removed && matchesTree(pin.tree, name),
  )
  const members = [...before.members.values()].filter(({ isActive }) => isActive)
  const nowMs = services.clock.nowMs()
  const withoutRight = new Set<string>()
  const released: { site: string; trees: string[] }[] = []
  const fetching: { member: Member; trees: PlannedTree[] }[] = []
  for (const member of members) {
    const wanted: PlannedTree[] = []
    const left: string[] = []
    for (const tree of trees) {
      const [was, will] = [
        isWanted(before, tree.name, member, nowMs),
        isWanted(after, tree.name, member, nowMs),
      ]
      if (was && !will) left.push(tree.name)
      if (!hasRight(after, tree.name, member.peer, nowMs) && isPinned(after, tree.name, member))
        withoutRight.add(`${member.site} may not read ${tree.name}, which is private: it gets nothing of it`)
      const filter = filterOf(after, tree.name, member)
      const isMore = !was || !covers(filterOf(before, tree.name, member), filter)
      if (!will || !isMore || tree.newest === undefined) continue
      const from = holdersOf(before, status, tree.name, tree.newest, member)
      wanted.push({ ...(await bytesOf(tree, tree.newest, member, filter)), from })
    }
    if (left.length > 0) released.push({ site: member.site, trees: left })
    if (wanted.length > 0) fetching.push({ member, trees: wanted })
  }
  const times = secondsToFetch(
    before.topology?.body ?? NO_TOPOLOGY,
    fetching.map(({ member, trees: wanted }) => ({
      place: member,
      trees: wanted.map(({ tree, bytes, from }) => ({
        tree,
        bytes,
        source: members.find(({ site }) => site === from[0]),
      })),
    })),
  )
  const sites = fetching
    .map(({ member, trees: wanted }, at) => siteOf(status, member, wanted, times[at] ?? null))
    .toSorted((a, b) => (a.site < b.site ? -1 : 1))
  return {
    id: idOf(before, pin, trees),
    pin,
    sites,
    bytes: sites.reduce((sum, { bytes }) => sum + bytes, 0),
    seconds: sites.some(({ seconds }) => seconds === null)
      ? null
      : sites.reduce((most, { seconds }) => Math.max(most, seconds!), 0),
    released: released.toSorted((a, b) => (a.site < b.site ? -1 : 1)),
    notes: [...notesOf(pin, trees, sites), ...[...withoutRight].toSorted().slice(0, MAX_NO_RIGHT)],
  }
}

function bodyOf(change: PinChange, version: number): PinBody {
  try {
    // As JSON has it: what is undefined is not there.
    const said = JSON.parse(JSON.stringify(change)) as PinChange
    return decodePin({ ...said, name: pinName(change.tree, change.sites), version })
  } catch (error) {
    if (!isMirrorError(error, 'corrupt')) throw error
    throw new MirrorError('invalid', `no such pin can be made: ${error.message}`, { cause: error })
  }
}

function withPin(state: MeshState, body: PinBody): MeshState {
  const pins = new Map(state.pins)
  if (body.removed) pins.delete(body.name)
  else pins.set(body.name, { body, origin: { record: state.mesh, issuer: '', timeMs: 0 } })
  return { ...state, pins }
}

type CountBytes = (
  tree: TreeState,
  newest: Head,
  member: Member,
  filter: PathFilter | undefined,
) => Promise<Omit<PlannedTree, 'from'>>

/** From what a site last said that it holds; block by block where both snapshots are here in full. */
function createByteCounter(
  services: Pick<Services, 'ledger' | 'blocks' | 'complete'>,
  status: StatusDocument,
  held: AbortSignal,
): CountBytes {
  const known = new Map<string, number | undefined>()

  async function compare(tree: string, base: number, target: number): Promise<number | undefined> {
    const key = `${tree} ${base}`
    if (known.has(key)) return known.get(key)
    if (known.size >= MAX_COMPARED) return undefined
    const bytes = await newBytes(services, tree, base, target, held)
    known.set(key, bytes)
    return bytes
  }

  const parts = new Map<string, number | undefined>()

  async function partBytes(tree: string, sequence: number, filter: PathFilter): Promise<number | undefined> {
    const key = `${tree} ${filterKey(filter)}`
    if (!parts.has(key) && parts.size < MAX_COMPARED)
      parts.set(key, await bytesUnder(services, tree, sequence, filter, held))
    return parts.get(key)
  }

  return async ({ name, history }, newest, { site }, filter) => {
    const { sequence, snapshot, counts } = newest
    const all = { tree: name, sequence, bytes: counts.blockBytes ?? counts.bytes ?? 0, isUpperBound: false }
    const replica = status.trees.find(({ tree }) => tree === name)?.sites.find((each) => each.site === site)
    if (replica?.state === 'complete' && replica.isFiltered !== true) return { ...all, bytes: 0 }
    if (filter !== undefined || replica?.isFiltered === true) {
      const bytes = filter === undefined ? undefined : await partBytes(name, sequence, filter)
      const isExact = bytes !== undefined && replica?.sequence == null
      return { ...all, bytes: bytes ?? all.bytes, isUpperBound: !isExact }
    }
    const heldHead = history.find((head) => head.sequence === replica?.sequence)
    if (heldHead === undefined) {
      const missing = replica?.missingBytes
      return missing == null ? all : { ...all, bytes: Math.min(missing, all.bytes) }
    }
    if (heldHead.snapshot.equals(snapshot)) return { ...all, bytes: 0 }
    const bytes = await compare(name, heldHead.sequence, sequence)
    return bytes === undefined ? { ...all, isUpperBound: true } : { ...all, bytes }
  }
}

/** Of the part of a snapshot that a filter takes; undefined when it is not here in full, or its shape is too large to tell. */
async function bytesUnder(
  services: Pick<Services, 'ledger' | 'blocks' | 'complete'>,
  tree: string,
  sequence: number,
  filter: PathFilter,
  held: AbortSignal,
): Promise<number | undefined> {
  const made = new Map<string, Uint8Array>()
  let left = MAX_VIEW_BYTES
  const source: NodeSource = {
    get: async (cid, signal) => made.get(cidKey(cid)) ?? services.blocks.get(cid, signal),
  }
  const put = async (blocks: readonly Block[]): Promise<void> => {
    for (const { cid, bytes } of blocks) {
      left -= bytes.length
      if (left < 0) throw new MirrorError('limit', 'the folders on the way to what a pin takes are too large')
      made.set(cidKey(cid), bytes.slice())
    }
  }
  try {
    const { whole } = await findSnapshot(services, tree, String(sequence), held)
    return (await makeView(source, whole, filter, { put, signal: held })).view.counts.blockBytes
  } catch (error) {
    if (isMirrorError(error, 'degraded') || isMirrorError(error, 'limit')) return undefined
    throw error
  }
}

/** Undefined when they are not both here in full, or too much has changed between them. */
async function newBytes(
  services: Pick<Services, 'ledger' | 'blocks' | 'complete'>,
  tree: string,
  base: number,
  target: number,
  held: AbortSignal,
): Promise<number | undefined> {
  const indexOf = async (sequence: number): Promise<Cid> =>
    (await findSnapshot(services, tree, String(sequence), held)).snapshot.index
  try {
    const indexes = { base: await indexOf(base), target: await indexOf(target) }
    const blocks = await listNewBlocks(services.blocks, indexes, held)
    if (blocks === undefined) return undefined
    let bytes = 0
    for await (const { lengthBytes } of blocks) bytes += lengthBytes
    return bytes
  } catch (error) {
    if (isMirrorError(error, 'degraded')) return undefined
    throw error
  }
}

/** Other sites that say that they are complete, the nearest first: the own region, then by round trip, cost and name. */
function holdersOf(
  { members, topology }: MeshState,
  status: StatusDocument,
  tree: string,
  { sequence }: Head,
  to: Member,
): string[] {
  const links = topology?.body ?? NO_TOPOLOGY
  const reachable = new Set(
    status.sites.filter(({ state }) => state === 'self' || state === 'up').map(({ site }) => site),
  )
  const replicas = status.trees.find((each) => each.tree === tree)?.sites ?? []
  return [...members.values()]
    .filter(({ isActive, site }) => isActive && site !== to.site && reachable.has(site))
    .filter(({ site }) =>
      replicas.some((each) => each.site === site && each.sequence === sequence && each.isFiltered !== true),
    )
    .map((member) => {
      const path = pathBetween(links, to, member)
      const rank = [
        member.region === to.region ? 0 : 1,
        path?.rttMs ?? Number.MAX_SAFE_INTEGER,
        path?.cost ?? Number.MAX_SAFE_INTEGER,
      ]
      return { site: member.site, rank }
    })
    .toSorted((a, b) => compareRanks(a.rank, b.rank) || (a.site < b.site ? -1 : 1))
    .slice(0, MAX_SOURCES)
    .map(({ site }) => site)
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (const [i, value] of a.entries()) if (value !== b[i]) return value - b[i]!
  return 0
}

function siteOf(
  status: StatusDocument,
  { site, region }: Member,
  trees: PlannedTree[],
  seconds: number | null,
): PlannedSite {
  const bytes = trees.reduce((sum, tree) => sum + tree.bytes, 0)
  const said = status.sites.find((each) => each.site === site)
  const freeBytes = said?.freeBytes ?? null
  return {
    site,
    region,
    state: said?.state ?? 'never-seen',
    trees,
    bytes,
    seconds,
    freeBytes,
    freeAfterBytes: freeBytes === null ? null : freeBytes - bytes,
  }
}

function notesOf(pin: PinBody, trees: readonly TreeState[], sites: readonly PlannedSite[]): string[] {
  return [
    ...(trees.length === 0 && !pin.removed ? [`no tree matches ${pin.tree} yet; the pin waits for one`] : []),
    ...trees
      .filter(({ newest }) => newest === undefined)
      .map(({ name }) => `nothing has been published in ${name} yet`),
    ...sites.flatMap(({ site, state, freeAfterBytes, trees: wanted }) => [
      ...(state === 'silent' || state === 'never-seen'
        ? [`${site} is ${state}: it begins when it is back`]
        : []),
      ...(freeAfterBytes !== null && freeAfterBytes < 0 ? [`${site} has not enough space`] : []),
      ...wanted
        .filter(({ from, bytes }) => from.length === 0 && bytes > 0)
        .map(({ tree, sequence }) => `no site that is up is known to hold ${tree}@${sequence} for ${site}`),
    ]),
  ]
}

function idOf(state: MeshState, pin: PinBody, trees: readonly TreeState[]): string {
  const from = [
    pin,
    [...state.pins.values()].map(({ body, origin }) => [body.name, origin.record.toString()]).toSorted(),
    trees
      .map(({ name, origin, newest }) => [name, origin.record.toString(), newest?.id.toString()])
      .toSorted(),
    [...state.members.values()]
      .map(({ peer, origin, isActive }) => [peer, origin.record.toString(), isActive])
      .toSorted(),
    trees.some(({ body }) => body.readers !== 'members')
      ? [...state.grants.values()]
          .flat()
          .map(({ peer, origin }) => [peer, origin.record.toString()])
          .toSorted()
      : [],
    [...state.sites].map(([site, { origin }]) => [site, origin.record.toString()]).toSorted(),
    state.topology?.origin.record.toString(),
  ]
  return createHash('sha256').update(JSON.stringify(from)).digest('hex').slice(0, 16)
}
