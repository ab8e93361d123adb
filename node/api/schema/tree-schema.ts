/** Schemas of what is answered about trees and what is in them (answers.ts). */
import { z } from 'zod'
import type {
  BackingDocument,
  ChainDocument,
  DiffBytesAnswer,
  DiffHeader,
  DiffLine,
  EntryLine,
  EntryListHeader,
  PinDocument,
  ResolvedPath,
  SelfDocument,
  SnapshotPlace,
  TreeDocument,
} from '../answers.ts'

export const SELF = z.strictObject({
  mesh: z.strictObject({ id: z.string(), name: z.string() }),
  peer: z.string(),
  site: z.string(),
  region: z.string(),
  version: z.string(),
  addresses: z.array(z.string()),
  http: z.string().nullable().describe('where the gateway listens'),
  api: z.string().nullable().describe('where the API listens by TCP'),
  pid: z.int(),
}) satisfies z.ZodType<SelfDocument>

export const CHAIN = z.strictObject({
  mesh: z.string(),
  counter: z.int(),
  prev: z.string().nullable(),
}) satisfies z.ZodType<ChainDocument>

const PLACE_FIELDS = { tree: z.string(), epoch: z.int(), sequence: z.int(), snapshot: z.string() }
export const PLACE = z.strictObject(PLACE_FIELDS) satisfies z.ZodType<SnapshotPlace>

export const HEAD = z.strictObject({
  ...PLACE_FIELDS,
  id: z.string(),
  publisher: z.string(),
  timeMs: z.number(),
  files: z.int().nullable(),
  bytes: z.int().nullable(),
})

const KEEP = z.strictObject({ last: z.int().exactOptional(), days: z.int().exactOptional() })

export const TREE = z.strictObject({
  tree: z.string(),
  version: z.int(),
  isRemoved: z.literal(true).exactOptional(),
  publishers: z.array(z.string()),
  readers: z.enum(['members', 'granted']),
  kind: z.enum(['simple', 'snapshot', 'versioned']),
  gate: z
    .union([
      z.strictObject({ path: z.string(), text: z.string() }),
      z.strictObject({ repository: z.enum(['deb', 'rpm']) }),
    ])
    .nullable(),
  keep: KEEP.nullable(),
  epoch: z.strictObject({ epoch: z.int(), id: z.string(), publisher: z.string() }).nullable(),
  head: HEAD.nullable(),
  tags: z.array(z.strictObject({ tag: z.string(), sequence: z.int(), snapshot: z.string() })),
  encodings: z.array(
    z.strictObject({
      sequence: z.int(),
      baseSequence: z.int(),
      bytes: z.int(),
      targetBytes: z.int(),
      isComplete: z.boolean(),
    }),
  ),
  isForked: z.boolean(),
  fork: z
    .strictObject({
      kind: z.enum(['heads', 'epochs']),
      epoch: z.int(),
      sequence: z.int().nullable(),
      records: z.array(z.string()),
      tips: z.array(HEAD),
    })
    .nullable(),
}) satisfies z.ZodType<TreeDocument>

export const PIN = z.strictObject({
  name: z.string(),
  tree: z.string().describe('a name or a pattern'),
  sites: z.strictObject({
    all: z.literal(true).exactOptional(),
    label: z.string().exactOptional(),
    region: z.string().exactOptional(),
    site: z.string().exactOptional(),
  }),
  checkout: z.string().nullable(),
  versions: z.int().exactOptional(),
  keep: KEEP.exactOptional(),
  copies: z.int().exactOptional(),
  fewest: z.strictObject({ tree: z.string(), verified: z.int() }).exactOptional(),
  priority: z.int().exactOptional(),
  class: z.literal('urgent').exactOptional(),
  paths: z.strictObject({ include: z.array(z.string()), exclude: z.array(z.string()) }).exactOptional(),
  version: z.int(),
}) satisfies z.ZodType<PinDocument>

const TYPE = z.enum(['file', 'directory', 'symlink', 'fifo', 'socket', 'block-device', 'character-device'])

export const RESOLVED = z.strictObject({
  ...PLACE_FIELDS,
  type: TYPE,
  name: z.string(),
  mode: z.int(),
  mtimeSec: z.int(),
  mtimeNsec: z.int(),
  sizeBytes: z.int().exactOptional(),
  target: z.string().exactOptional(),
}) satisfies z.ZodType<ResolvedPath>

export const ENTRY_HEADER = z.strictObject({
  ...PLACE_FIELDS,
  path: z.string(),
  entries: z.int().exactOptional().describe('of the folder, not below it'),
}) satisfies z.ZodType<EntryListHeader>

export const ENTRY = z.strictObject({
  path: z.string().describe('printable'),
  rawPath: z.string().exactOptional().describe('base64, where the bytes are not what path shows'),
  type: TYPE,
  mode: z.int(),
  mtime: z.string(),
  uid: z.int(),
  gid: z.int(),
  user: z.string().exactOptional(),
  group: z.string().exactOptional(),
  sizeBytes: z.int().exactOptional(),
  target: z.string().exactOptional(),
  device: z.string().exactOptional(),
  xattrs: z.array(z.string()).exactOptional(),
  xattrBlock: z.string().exactOptional(),
  holeBytes: z.int().exactOptional(),
  cid: z.string().exactOptional(),
}) satisfies z.ZodType<EntryLine>

export const DIFF_HEADER = z.strictObject({
  from: PLACE.nullable(),
  to: z.union([PLACE, z.strictObject({ dir: z.string() })]),
}) satisfies z.ZodType<DiffHeader>

export const DIFF_LINE = z.strictObject({
  path: z.string(),
  rawPath: z.string().exactOptional(),
  change: z.enum(['added', 'removed', 'changed', 'type']),
  content: z.boolean(),
  metadata: z.boolean(),
  items: z.string().length(11),
  type: TYPE,
  sizeBytes: z.int().exactOptional(),
  target: z.string().exactOptional(),
}) satisfies z.ZodType<DiffLine>

export const DIFF_BYTES = z.strictObject({
  from: PLACE,
  to: PLACE,
  newBlocks: z.int(),
  newBytes: z.int(),
  zstdBytes: z.int(),
  indexBytes: z.int(),
  deltas: z.strictObject({ bytes: z.int(), targetBytes: z.int(), restZstdBytes: z.int() }).nullable(),
}) satisfies z.ZodType<DiffBytesAnswer>

export const BACKING = z.strictObject({
  id: z.int(),
  purpose: z.enum(['in-place', 'check-out', 'adopted']),
  tree: z.string(),
  path: z.string(),
  blocks: z.int(),
  bytes: z.int(),
}) satisfies z.ZodType<BackingDocument>
