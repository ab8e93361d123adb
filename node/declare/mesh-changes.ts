/** What has to be said so that a mesh becomes what a file declares. Pure. */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { NO_TOPOLOGY } from '../../src/topology/topology.ts'
import type { PinDocument, TopologyDocument, TreeDocument } from '../api/answers.ts'
import type { GrantDocument } from '../api/routes/grant-routes.ts'
import type { SiteDocument } from '../api/routes/site-routes.ts'
import type { MemberDocument } from '../api/schema/member-answers.ts'
import { describeFilter } from '../left-out.ts'
import { type TopologyChange, topologyChanges } from '../topology/changes.ts'
import { describeGrants, type GrantChange, grantChanges } from './declared-grant.ts'
import type { DeclaredPin, DeclaredTreeSettings, MeshFile, PinPlace } from './mesh-file.ts'

/** The mesh as a node knows it. */
export interface MeshFacts {
  readonly name: string
  readonly trees: readonly TreeDocument[]
  readonly pins: readonly PinDocument[]
  readonly topology: TopologyDocument
  readonly members: readonly MemberDocument[]
  readonly sites: readonly SiteDocument[]
  readonly grants: readonly GrantDocument[]
}

export type MeshChange =
  | GrantChange
  | {
      readonly kind: 'create-tree'
      readonly tree: string
      readonly peer: string
      readonly text: string
    }
  | { readonly kind: 'hand-over'; readonly tree: string; readonly peer: string; readonly text: string }
  | { readonly kind: 'delete-tree'; readonly tree: string; readonly text: string }
  | {
      readonly kind: 'set-tree'
      readonly tree: string
      readonly settings: DeclaredTreeSettings
      readonly text: string
    }
  | { readonly kind: 'set-pin'; readonly pin: DeclaredPin; readonly text: string }
  | { readonly kind: 'remove-pin'; readonly tree: string; readonly sites: PinPlace; readonly text: string }
  | {
      readonly kind: 'set-tag'
      readonly tree: string
      readonly tag: string
      readonly sequence: number
      readonly text: string
    }
  | { readonly kind: 'remove-tag'; readonly tree: string; readonly tag: string; readonly text: string }
  | {
      readonly kind: 'set-labels'
      readonly site: string
      readonly labels: readonly string[]
      readonly text: string
    }
  | { readonly kind: 'set-topology'; readonly changes: readonly TopologyChange[]; readonly text: string }

export interface MeshPlan {
  /** Of the changes and of what they start from: another mesh, or another file, has another. */
  readonly id: string
  readonly changes: readonly MeshChange[]
  /** What the file says and no command of an admin makes so. */
  readonly notes: readonly string[]
}

/** @param isPruning what is in the mesh and not in a section of the file goes */
export function planMesh(file: MeshFile, facts: MeshFacts, isPruning: boolean): MeshPlan {
  const notes: string[] = []
  const changes = [
    ...treeChanges(file, facts, isPruning, notes),
    ...grantChanges(
      file.grants ?? [],
      file.grants === undefined ? [] : facts.grants,
      (who) => keyFor(facts, who),
      isPruning,
      notes,
    ),
    ...pinChanges(file, facts, isPruning, notes),
    ...tagChanges(file, facts, isPruning, notes),
    ...labelChanges(file, facts, isPruning, notes),
    ...topologyChange(file, facts),
  ]
  if (file.mesh !== undefined && file.mesh !== facts.name)
    notes.push(`the file is of the mesh ${file.mesh}, and this is ${facts.name}`)
  notes.push(...memberNotes(file, facts))
  return { id: idOf(changes, facts), changes, notes }
}

function idOf(changes: readonly MeshChange[], { trees, pins, sites, grants, topology }: MeshFacts): string {
  const from = [
    trees.map(({ tree, version, epoch, tags }) => [tree, version, epoch?.id, tags]).toSorted(),
    pins.map(({ name, version }) => [name, version]).toSorted(),
    sites.map(({ site, version }) => [site, version]).toSorted(),
    grants.map(({ record }) => record).toSorted(),
    topology.declared?.version,
  ]
  return createHash('sha256')
    .update(JSON.stringify([changes, from]))
    .digest('hex')
    .slice(0, 16)
}

function peerAt({ members }: MeshFacts, publisher: string): string | undefined {
  const active = members.filter(({ state }) => state !== 'revoked')
  return active.find(({ site, peer }) => site === publisher || peer === publisher)?.peer
}

/** Whose grant it is: a key need not be a member's. */
function keyFor(facts: MeshFacts, who: string): string | undefined {
  return peerAt(facts, who) ?? (who.startsWith('12D3KooW') ? who : undefined)
}

function treeChanges(file: MeshFile, facts: MeshFacts, isPruning: boolean, notes: string[]): MeshChange[] {
  if (file.trees === undefined) return []
  const changes: MeshChange[] = []
  const there = new Map(facts.trees.map((tree) => [tree.tree, tree]))
  for (const { name, publisher, settings } of file.trees) {
    const peer = peerAt(facts, publisher)
    if (peer === undefined) {
      notes.push(`${name} is to be published by ${publisher}, which is no member yet`)
      continue
    }
    const found = there.get(name)
    if (found?.fork != null) notes.push(`${name} is in dispute: see mirrormesh tree resolve-fork`)
    else if (found === undefined || found.epoch === null)
      changes.push({
        kind: 'create-tree',
        tree: name,
        peer,
        text: `+ tree ${name}, published by ${publisher}`,
      })
    else if (found.epoch.publisher !== peer)
      changes.push({
        kind: 'hand-over',
        tree: name,
        peer,
        text: `~ tree ${name}, published by ${publisher} from now on`,
      })
    const wanted = Object.entries(settings).filter(
      ([key, value]) => !isDeepStrictEqual(value, settingOf(found, key)),
    )
    if (wanted.length > 0) {
      const texts = wanted.map(
        ([key, value]) => `${key} ${typeof value === 'string' ? value : JSON.stringify(value)}`,
      )
      changes.push({
        kind: 'set-tree',
        tree: name,
        settings: Object.fromEntries(wanted),
        text: `~ tree ${name}, ${texts.join(', ')}`,
      })
    }
  }
  const declared = new Set(file.trees.map(({ name }) => name))
  for (const name of there.keys()) {
    if (declared.has(name)) continue
    if (isPruning) changes.push({ kind: 'delete-tree', tree: name, text: `- tree ${name}` })
    else notes.push(`the tree ${name} is not in the file; --prune deletes it`)
  }
  return changes
}

/** Of a tree that is not there yet: what it is created with. */
function settingOf(found: TreeDocument | undefined, key: string): unknown {
  if (found === undefined) return { readers: 'members', kind: 'simple' }[key]
  return found[key as keyof DeclaredTreeSettings]
}

function pinChanges(file: MeshFile, facts: MeshFacts, isPruning: boolean, notes: string[]): MeshChange[] {
  if (file.pins === undefined) return []
  const changes: MeshChange[] = []
  const there = new Map(facts.pins.map((pin) => [keyOf(pin.tree, placeOfPin(pin)), pin]))
  const declared = new Set<string>()
  for (const pin of file.pins) {
    const key = keyOf(pin.tree, pin.sites)
    declared.add(key)
    const found = there.get(key)
    const isSame =
      found !== undefined &&
      found.checkout === (pin.checkout ?? null) &&
      found.versions === pin.versions &&
      found.keep?.last === pin.keep?.last &&
      found.keep?.days === pin.keep?.days &&
      found.copies === pin.copies &&
      found.priority === pin.priority &&
      found.class === pin.class &&
      pathsText(found) === pathsText(pin)
    if (isSame) continue
    const checkout = pin.checkout === undefined ? '' : `, checked out at ${pin.checkout}`
    const versions = pin.versions === undefined ? '' : `, ${pin.versions} versions`
    changes.push({
      kind: 'set-pin',
      pin,
      text: `${found === undefined ? '+' : '~'} pin ${key}${checkout}${versions}${keepText(pin.keep)}${urgencyText(pin)}${pathsText(pin)}`,
    })
  }
  for (const [key, pin] of there) {
    if (declared.has(key)) continue
    const sites = placeOfPin(pin)
    if (isPruning) changes.push({ kind: 'remove-pin', tree: pin.tree, sites, text: `- pin ${key}` })
    else notes.push(`the pin of ${key} is not in the file; --prune removes it`)
  }
  return changes
}

function keepText(keep: DeclaredPin['keep']): string {
  const last = keep?.last === undefined ? '' : `, keeps the last ${keep.last}`
  return keep?.days === undefined ? last : `${last}, keeps ${keep.days} days`
}

function pathsText({ paths }: Pick<PinDocument, 'paths'> | Pick<DeclaredPin, 'paths'>): string {
  return paths === undefined ? '' : `, only ${describeFilter([paths])}`
}

function urgencyText({ copies, priority, class: urgency }: DeclaredPin): string {
  return `${copies === undefined ? '' : `, ${copies} copies at least`}${priority === undefined ? '' : `, priority ${priority}`}${urgency === undefined ? '' : `, ${urgency}`}`
}

function tagChanges(file: MeshFile, facts: MeshFacts, isPruning: boolean, notes: string[]): MeshChange[] {
  const changes: MeshChange[] = []
  const there = new Map(facts.trees.map((tree) => [tree.tree, tree]))
  for (const { name, tags } of file.trees ?? []) {
    if (tags === undefined) continue
    const found = there.get(name)
    const current = new Map((found?.tags ?? []).map(({ tag, sequence }) => [tag, sequence]))
    for (const [tag, sequence] of tags) {
      if (current.get(tag) === sequence) continue
      if (sequence > (found?.head?.sequence ?? 0))
        notes.push(`${name}@${tag} is to be @${sequence}, which is not published yet`)
      else
        changes.push({
          kind: 'set-tag',
          tree: name,
          tag,
          sequence,
          text: `~ tag ${name}@${tag} is @${sequence}`,
        })
    }
    for (const tag of current.keys()) {
      if (tags.has(tag)) continue
      if (isPruning) changes.push({ kind: 'remove-tag', tree: name, tag, text: `- tag ${name}@${tag}` })
      else notes.push(`the tag ${name}@${tag} is not in the file; --prune removes it`)
    }
  }
  return changes
}

function labelChanges(
  { sites: declared }: MeshFile,
  { sites }: MeshFacts,
  isPruning: boolean,
  notes: string[],
): MeshChange[] {
  if (declared === undefined) return []
  const changes: MeshChange[] = []
  const there = new Map(sites.map(({ site, labels }) => [site, labels]))
  const set = (site: string, labels: readonly string[]): void => {
    const text = `~ site ${site}, ${labels.length === 0 ? 'no labels' : `labels ${labels.join(', ')}`}`
    changes.push({ kind: 'set-labels', site, labels, text })
  }
  for (const [site, labels] of declared) {
    if (labels.join() !== (there.get(site) ?? []).join()) set(site, labels)
  }
  for (const [site, labels] of there) {
    if (labels.length === 0 || declared.has(site)) continue
    if (isPruning) set(site, [])
    else notes.push(`the labels of ${site} are not in the file; --prune takes them away`)
  }
  return changes
}

function topologyChange({ topology }: MeshFile, facts: MeshFacts): MeshChange[] {
  if (topology === undefined) return []
  const changes = topologyChanges(facts.topology.declared ?? NO_TOPOLOGY, topology)
  if (changes.length === 0) return []
  const names = changes.map(({ part, name }) => `${part} ${name}`)
  const more = names.length > 5 ? ` and ${names.length - 5} more` : ''
  return [{ kind: 'set-topology', changes, text: `~ topology: ${names.slice(0, 5).join(', ')}${more}` }]
}

function memberNotes({ members }: MeshFile, facts: MeshFacts): string[] {
  if (members === undefined) return []
  const there = new Map(
    facts.members.filter(({ state }) => state !== 'revoked').map(({ site, region }) => [site, region]),
  )
  const notes: string[] = []
  for (const [site, region] of members) {
    const found = there.get(site)
    if (found === undefined)
      notes.push(`${site} is not a member yet: mirrormesh invite create --site ${site} --region ${region}`)
    else if (found !== region) notes.push(`${site} is in ${found}, not in ${region}`)
  }
  for (const site of there.keys())
    if (!members.has(site))
      notes.push(`the member ${site} is not in the file: mirrormesh member revoke ${site} --reason WHY`)
  return notes
}

export function placeOfPin({ sites }: Pick<PinDocument, 'sites'>): PinPlace {
  if (sites.site !== undefined) return { site: sites.site }
  if (sites.label !== undefined) return { label: sites.label }
  return sites.region !== undefined ? { region: sites.region } : { all: true }
}

function keyOf(tree: string, place: PinPlace): string {
  if ('site' in place) return `${tree} at ${place.site}`
  if ('label' in place) return `${tree} at label ${place.label}`
  return 'region' in place ? `${tree} in region ${place.region}` : `${tree} at every site`
}

/** The file that says what is: planning it against the same facts changes nothing. */
export function describeMesh({ name, trees, pins, topology, members, sites, grants }: MeshFacts): unknown {
  const siteOf = (peer: string): string =>
    members.find((each) => each.peer === peer && each.state !== 'revoked')?.site ?? peer
  const granted = describeGrants(grants, siteOf)
  const labelled = sites.filter(({ labels }) => labels.length > 0)
  const published = trees.filter(({ epoch }) => epoch !== null)
  const { version: _, ...links } = topology.declared ?? { version: 0, ...NO_TOPOLOGY }
  return {
    mesh: name,
    members: Object.fromEntries(
      members
        .filter(({ state }) => state !== 'revoked')
        .map(({ site, region, peer }) => [site, { region, peer }]),
    ),
    trees: Object.fromEntries(
      published.map(({ tree, epoch, tags, readers, kind, gate, keep }) => [
        tree,
        {
          publisher: siteOf(epoch!.publisher),
          ...(readers === 'members' ? {} : { readers }),
          ...(kind === 'simple' ? {} : { kind }),
          ...(gate === null ? {} : { gate }),
          ...(keep === null ? {} : { keep }),
          ...(tags.length === 0
            ? {}
            : { tags: Object.fromEntries(tags.map(({ tag, sequence }) => [tag, sequence])) }),
        },
      ]),
    ),
    pins: pins.map((pin) => ({
      tree: pin.tree,
      ...placeOfPin(pin),
      ...(pin.checkout === null ? {} : { checkout: pin.checkout }),
      ...(pin.versions === undefined ? {} : { versions: pin.versions }),
      ...(pin.keep === undefined ? {} : { keep: pin.keep }),
      ...(pin.copies === undefined ? {} : { copies: pin.copies }),
      ...(pin.priority === undefined ? {} : { priority: pin.priority }),
      ...(pin.class === undefined ? {} : { class: pin.class }),
      ...(pin.paths === undefined || pin.paths.include.length === 0 ? {} : { paths: pin.paths.include }),
      ...(pin.paths === undefined || pin.paths.exclude.length === 0
        ? {}
        : { excludePaths: pin.paths.exclude }),
    })),
    ...(labelled.length === 0
      ? {}
      : { sites: Object.fromEntries(labelled.map(({ site, labels }) => [site, { labels }])) }),
    ...(granted.length === 0 ? {} : { grants: granted }),
    ...(topology.declared === null ? {} : { topology: links }),
  }
}
