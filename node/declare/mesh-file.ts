/**
 * A mesh as one YAML file: trees with their publishers and tags, pins, grants, topology, and who is a member. For those who keep
 * it in git. A section that is left out is left alone.
 */
import { readFile } from 'node:fs/promises'
import { isNode, LineCounter, parseDocument, stringify } from 'yaml'
import { z } from 'zod'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { isSegment, isTreeName, isTreePattern } from '../../src/base/names.ts'
import { isFilterPath, MAX_FILTER_PATHS, type PathRule } from '../../src/base/path-filter.ts'
import {
  MAX_COPIES,
  MAX_KEEP_DAYS,
  MAX_KEEP_LAST,
  MAX_PRIORITY,
  MIN_COPIES,
  type PinKeep,
} from '../../src/record/kinds/pin.ts'
import { MAX_LABELS } from '../../src/record/kinds/site.ts'
import type { TreeGate, TreeKind, TreeReaders } from '../../src/record/kinds/tree.ts'
import type { Topology } from '../../src/topology/topology.ts'
import { parseTopologyFile } from '../topology/read-file.ts'
import { DECLARED_GRANT, type DeclaredGrant } from './declared-grant.ts'

export type PinPlace =
  | { readonly all: true }
  | { readonly label: string }
  | { readonly region: string }
  | { readonly site: string }

export interface DeclaredTree {
  readonly name: string
  /** A site, or the PeerId of a node. */
  readonly publisher: string
  /** Sequences by tag; undefined when the file does not say. */
  readonly tags: ReadonlyMap<string, number> | undefined
  /** What the file does not say is left as it is: a private tree does not open because a line is missing. */
  readonly settings: DeclaredTreeSettings
}

export interface DeclaredTreeSettings {
  readonly readers?: TreeReaders
  readonly kind?: TreeKind
  readonly gate?: TreeGate
  readonly keep?: PinKeep
}

export interface DeclaredPin {
  readonly tree: string
  readonly sites: PinPlace
  readonly checkout: string | undefined
  readonly versions: number | undefined
  readonly keep: PinKeep | undefined
  readonly copies: number | undefined
  readonly priority: number | undefined
  readonly class: 'urgent' | undefined
  readonly paths: PathRule | undefined
}

export interface MeshFile {
  readonly mesh: string | undefined
  readonly trees: readonly DeclaredTree[] | undefined
  readonly pins: readonly DeclaredPin[] | undefined
  /** Labels by site. Whether a site is drained is of the moment, and not in the file. */
  readonly sites: ReadonlyMap<string, readonly string[]> | undefined
  readonly grants: readonly DeclaredGrant[] | undefined
  readonly topology: Topology | undefined
  /** Regions by site. Compared and never applied: a member comes by an invite. */
  readonly members: ReadonlyMap<string, string> | undefined
}

const SEGMENT = z.string().refine(isSegment, 'is not a name: a-z, 0-9, ".", "_" and "-", at most 64')
const KEEP = z
  .strictObject({
    last: z.int().min(1).max(MAX_KEEP_LAST).optional(),
    days: z.int().min(1).max(MAX_KEEP_DAYS).optional(),
  })
  .refine(({ last, days }) => last !== undefined || days !== undefined, 'names none of last and days')
const GATE = z.union([
  z.strictObject({ path: z.string().min(1).max(1024), text: z.string().min(1).max(256) }),
  z.strictObject({ repository: z.enum(['deb', 'rpm']) }),
])
const FILTER_PATH = z
  .string()
  .transform((path) => path.replace(/\/+$/, ''))
  .refine(isFilterPath, 'is no path below the root of a tree')
const PIN = z
  .strictObject({
    tree: z.string().refine(isTreePattern, 'is not a tree or pattern'),
    all: z.literal(true).optional(),
    label: SEGMENT.optional(),
    region: SEGMENT.optional(),
    site: SEGMENT.optional(),
    checkout: z.string().startsWith('/', 'is not an absolute path').optional(),
    versions: z.int().min(1).max(100).optional(),
    keep: KEEP.optional(),
    copies: z.int().min(MIN_COPIES).max(MAX_COPIES).optional(),
    priority: z.int().min(1).max(MAX_PRIORITY).optional(),
    class: z.literal('urgent').optional(),
    paths: z.array(FILTER_PATH).min(1).max(MAX_FILTER_PATHS).optional(),
    excludePaths: z.array(FILTER_PATH).min(1).max(MAX_FILTER_PATHS).optional(),
  })
  .refine(
    ({ all, label, region, site }) =>
      [all, label, region, site].filter((each) => each !== undefined).length === 1,
    'names one of all: true, label, region and site',
  )
  .refine(
    ({ checkout, versions }) => versions === undefined || checkout !== undefined,
    'has versions and no checkout',
  )
const FILE = z.strictObject({
  mesh: SEGMENT.optional(),
  trees: z
    .record(
      z.string().refine(isTreeName, 'is not the name of a tree'),
      z.strictObject({
        publisher: z.string().min(1),
        tags: z.record(SEGMENT, z.int().min(1)).optional(),
        readers: z.enum(['members', 'granted']).optional(),
        kind: z.enum(['simple', 'snapshot', 'versioned']).optional(),
        gate: GATE.optional(),
        keep: KEEP.optional(),
      }),
    )
    .optional(),
  pins: z.array(PIN).optional(),
  grants: z.array(DECLARED_GRANT).optional(),
  sites: z.record(SEGMENT, z.strictObject({ labels: z.array(SEGMENT).max(MAX_LABELS) })).optional(),
  topology: z.record(z.string(), z.unknown()).optional(),
  members: z.record(SEGMENT, z.strictObject({ region: SEGMENT, peer: z.string().optional() })).optional(),
})

/** @throws MirrorError `invalid` with the line, `not-found` when there is no such file */
export async function readMeshFile(file: string): Promise<MeshFile> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw asMirrorError(error, `read ${file}`)
  }
  return parseMeshFile(text, file)
}

export function parseMeshFile(text: string, file: string): MeshFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const fault = document.errors[0]
  if (fault !== undefined) {
    const { line } = lines.linePos(fault.pos[0])
    throw new MirrorError('invalid', `${file}:${line}: ${fault.message.split('\n')[0]}`)
  }
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 1000 }) ?? {}
  } catch (error) {
    throw new MirrorError('invalid', `${file}: ${(error as Error).message}`, { cause: error })
  }
  const result = FILE.safeParse(value)
  if (!result.success) {
    const issue = result.error.issues[0]!
    const node = document.getIn(issue.path as (string | number)[], true)
    const { line } = lines.linePos(isNode(node) ? (node.range?.[0] ?? 0) : 0)
    const what = issue.path.length === 0 ? '' : `${issue.path.join('.')}: `
    throw new MirrorError('invalid', `${file}:${line}: ${what}${issue.message}`)
  }
  const { mesh, trees, pins, grants, sites, topology, members } = result.data
  return {
    mesh,
    trees:
      trees &&
      Object.entries(trees).map(([name, { publisher, tags, readers, kind, gate, keep }]) => ({
        name,
        publisher,
        tags: tags && new Map(Object.entries(tags)),
        settings: {
          ...(readers === undefined ? {} : { readers }),
          ...(kind === undefined ? {} : { kind }),
          ...(gate === undefined ? {} : { gate }),
          ...(keep === undefined ? {} : { keep: keepOf(keep) }),
        },
      })),
    grants,
    pins: pins?.map(
      ({
        tree,
        checkout,
        versions,
        keep,
        copies,
        priority,
        class: urgency,
        paths,
        excludePaths,
        ...place
      }) => ({
        tree,
        checkout,
        versions,
        keep: keep && keepOf(keep),
        copies,
        priority,
        class: urgency,
        paths: rulesOf(paths, excludePaths),
        sites: placeOf(place),
      }),
    ),
    sites:
      sites &&
      new Map(Object.entries(sites).map(([site, { labels }]) => [site, [...new Set(labels)].toSorted()])),
    // Its own reader knows units and names; lines are counted from the section's first then.
    topology: topology && parseTopologyFile(stringify(topology), `${file}, topology`).topology,
    members: members && new Map(Object.entries(members).map(([site, { region }]) => [site, region])),
  }
}

function rulesOf(include: string[] = [], exclude: string[] = []): PathRule | undefined {
  if (include.length + exclude.length === 0) return undefined
  return { include: [...new Set(include)].toSorted(), exclude: [...new Set(exclude)].toSorted() }
}

function keepOf({ last, days }: { last?: number | undefined; days?: number | undefined }): PinKeep {
  return { ...(last === undefined ? {} : { last }), ...(days === undefined ? {} : { days }) }
}

interface NamedPlace {
  readonly label?: string | undefined
  readonly region?: string | undefined
  readonly site?: string | undefined
}

function placeOf({ label, region, site }: NamedPlace): PinPlace {
  if (label !== undefined) return { label }
  if (region !== undefined) return { region }
  return site !== undefined ? { site } : { all: true }
}
