/** Schemas of jobs: what starts each, and the document that tells of it (job-document.ts). */
import { z } from 'zod'
import { MAX_VERSIONS } from '../../../src/record/kinds/pin.ts'
import { DELTA_MODES } from '../../../src/replica/deltas/delta-mode.ts'
import type { JobDocument, JobKind, Problem } from '../jobs/job-document.ts'

const TEXT = z.string().min(1)
const FLAG = z.boolean().default(false)
const TIMEOUT = z.number().min(0).optional().describe('milliseconds')
const SITES = z.array(TEXT).min(1).describe('names of sites, or `all`')

/** Fields that a kind does not know are ignored: a client may be newer than this node. */
export const JOB_BODIES = {
  publish: z.object({
    kind: z.literal('publish'),
    path: TEXT.describe('absolute, on the machine of the node'),
    tree: TEXT,
    version: TEXT.optional().describe('of a tree of versions'),
    notes: z.record(z.string(), z.string()).default({}),
    allowEmpty: FLAG,
    acceptShrink: FLAG,
    inPlace: FLAG,
    wait: SITES.optional(),
    timeoutMs: TIMEOUT,
    ignore: z.array(z.string()).optional().describe('absent: the rules of the newest snapshot; empty: none'),
    deltas: z.enum(DELTA_MODES).optional(),
    dryRun: FLAG,
  }),
  'drop-versions': z.object({
    kind: z.literal('drop-versions'),
    tree: TEXT,
    versions: z.array(TEXT).min(1),
  }),
  'roll-back': z.object({
    kind: z.literal('roll-back'),
    tree: TEXT,
    ref: TEXT.describe('a sequence or a tag'),
  }),
  wait: z.object({
    kind: z.literal('wait'),
    tree: TEXT,
    ref: TEXT.default('head'),
    sites: SITES.default(['all']),
    timeoutMs: TIMEOUT,
  }),
  checkout: z.object({
    kind: z.literal('checkout'),
    tree: TEXT,
    ref: TEXT.optional(),
    path: z.string().default('').describe('within the tree, percent-encoded'),
    dest: TEXT.describe('absolute, on the machine of the node'),
    replace: FLAG,
    devices: FLAG,
    takeEmpty: FLAG,
    protect: z.array(z.string()).optional(),
    versions: z.int().min(1).max(MAX_VERSIONS).optional().describe('dest is a folder of versions'),
  }),
  verify: z.object({
    kind: z.literal('verify'),
    tree: TEXT.optional(),
    ref: TEXT.optional(),
    checkout: TEXT.optional().describe('a folder of the machine of the node, to compare'),
  }),
  adopt: z.object({ kind: z.literal('adopt'), path: TEXT, tree: TEXT }),
  'drop-backing': z.object({ kind: z.literal('drop-backing'), id: z.int(), copy: FLAG }),
  collect: z.object({ kind: z.literal('collect'), dryRun: FLAG }),
  scrub: z.object({ kind: z.literal('scrub'), bytesPerSecond: z.number().min(1000).optional() }),
} satisfies { readonly [K in JobKind]: z.ZodObject }

export type JobBody<K extends JobKind> = z.output<(typeof JOB_BODIES)[K]>

export const JOB_KINDS = Object.keys(JOB_BODIES) as readonly JobKind[]

export const PROBLEM = z.strictObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string(),
  hint: z.string().exactOptional(),
  facts: z.record(z.string(), z.unknown()).exactOptional(),
}) satisfies z.ZodType<Problem>

export const JOB = z.strictObject({
  id: z.string(),
  kind: z.enum(JOB_KINDS),
  state: z.enum(['running', 'done', 'failed', 'cancelled']),
  startedMs: z.number(),
  endedMs: z.number().exactOptional(),
  progress: z
    .strictObject({
      phase: z.string(),
      bytes: z.number(),
      totalBytes: z.number().exactOptional(),
      files: z.number().exactOptional(),
      totalFiles: z.number().exactOptional(),
      note: z.string().exactOptional(),
    })
    .exactOptional(),
  result: z.looseObject({}).exactOptional().describe('by kind: see docs/api.md'),
  problem: PROBLEM.exactOptional(),
}) satisfies z.ZodType<JobDocument>
