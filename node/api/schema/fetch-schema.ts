/** Schemas of fetches and of the links that they take (answers.ts). */
import { z } from 'zod'
import type { FetchDocument, FetchSummary, PausedFetch, TopologyDocument } from '../answers.ts'

export const FETCH_SUMMARY = z.strictObject({
  tree: z.string(),
  snapshot: z.string(),
  phase: z.enum(['snapshot', 'blocks', 'check', 'complete', 'failed']),
  seconds: z.number(),
  heldBlocks: z.int(),
  totalBlocks: z.int().nullable(),
  heldBytes: z.int(),
  totalBytes: z.int().nullable(),
  fetchedBytes: z.int(),
  deltas: z
    .strictObject({
      deltasFetched: z.int(),
      deltaBytesFetched: z.int(),
      blocksMade: z.int(),
      bytesMade: z.int(),
    })
    .nullable(),
  bytesPerSecond: z.number(),
  checkout: z.strictObject({ path: z.string(), files: z.int(), bytes: z.int() }).exactOptional(),
}) satisfies z.ZodType<FetchSummary>

export const PAUSED = z.strictObject({
  tree: z.string(),
  by: z.string(),
  sinceMs: z.int(),
}) satisfies z.ZodType<PausedFetch>

const PEER = z.strictObject({
  peer: z.string(),
  site: z.string(),
  region: z.string(),
  path: z.enum(['near', 'far']),
  tier: z.number(),
  holds: z.enum(['complete', 'part', 'unknown']),
  inFlightBytes: z.number(),
  pipelineBytes: z.number(),
  pathPipelineBytes: z.number(),
  pathFetches: z.number(),
  bytesPerSecond: z.number(),
  othersQueueMs: z.number().exactOptional().describe('of other traffic on the path'),
  state: z.string(),
})

const SEGMENT = z.strictObject({
  page: z.int(),
  firstBlock: z.int(),
  endBlock: z.int(),
  missingBlocks: z.int(),
  owner: z.string(),
  entry: z.string().exactOptional(),
  askedOf: z.array(z.strictObject({ site: z.string(), reason: z.string() })),
  state: z.string(),
})

export const FETCH = FETCH_SUMMARY.extend({
  peers: z.array(PEER),
  requestedBlocks: z.record(z.string(), z.number()),
  duplicateBlocks: z.int(),
  segments: z.array(SEGMENT),
  moreSegments: z.int(),
}) satisfies z.ZodType<FetchDocument>

const RATE = { upKbit: z.number().exactOptional(), downKbit: z.number().exactOptional() }

const MEASURED = z.strictObject({
  site: z.string(),
  region: z.string(),
  peer: z.string(),
  pathClass: z.enum(['site', 'region', 'wan']),
  direction: z.enum(['inbound', 'outbound']),
  isRelayed: z.boolean(),
  rttMs: z.number().nullable(),
  sentBytesPerSecond: z.number(),
  receivedBytesPerSecond: z.number(),
  maxSentBytesPerSecond: z.number(),
  maxReceivedBytesPerSecond: z.number(),
  declaredRttMs: z.number().nullable(),
  declaredKbit: z.number().nullable(),
  declaredCost: z.number().nullable(),
})

const LINKS = {
  regions: z.array(z.strictObject({ region: z.string(), ...RATE })),
  sites: z.array(
    z.strictObject({
      site: z.string(),
      subnets: z.array(z.string()).exactOptional(),
      isReachable: z.boolean().exactOptional(),
      ...RATE,
    }),
  ),
  paths: z.array(
    z.strictObject({
      between: z.tuple([z.string(), z.string()]),
      rttMs: z.number().exactOptional(),
      kbit: z.number().exactOptional(),
      cost: z.number().exactOptional(),
    }),
  ),
}

export const TOPOLOGY_LINKS = z.strictObject(LINKS)

export const TOPOLOGY = z.strictObject({
  self: z.strictObject({ site: z.string(), region: z.string() }),
  declared: z
    .strictObject({
      version: z.int(),
      ...LINKS,
    })
    .nullable(),
  issuer: z.string().nullable(),
  timeMs: z.number().nullable(),
  measured: z.array(MEASURED),
}) satisfies z.ZodType<TopologyDocument>
