/** Schema of the status document (src/replica/status/status.ts). */
import { z } from 'zod'
import type { StatusDocument } from '../../../src/replica/status/status.ts'

const CHECKOUT = z.strictObject({
  path: z.string(),
  sequence: z.int().nullable(),
  versions: z.int().exactOptional(),
})

const REPLICA = z.strictObject({
  site: z.string(),
  sequence: z.int().nullable().describe('the newest that is complete there'),
  alsoComplete: z.array(z.int()).exactOptional().describe('older ones that are complete there too'),
  state: z.enum(['complete', 'fetching', 'behind', 'unknown']),
  missingBytes: z.int().nullable(),
  lag: z
    .strictObject({ snapshots: z.int(), sinceMs: z.number() })
    .exactOptional()
    .describe('heads that it has not completed, and since when'),
  checkouts: z.array(CHECKOUT),
  reason: z.string().exactOptional(),
  isFiltered: z.boolean().exactOptional().describe('what is complete there is a part of the tree'),
  hasNoRight: z.boolean().exactOptional().describe('the tree is private, and the site may not read it'),
  hasFailed: z.boolean().exactOptional(),
  pause: z
    .strictObject({ by: z.string(), sinceMs: z.number() })
    .exactOptional()
    .describe('an operator of that site holds it back'),
})

const HELD_BACK = z
  .strictObject({
    site: z.string(),
    snapshot: z.string(),
    previous: z.string().describe('record of the head that it was compared with, and is to follow'),
    sequence: z.int().describe('of that head'),
    files: z.int(),
    bytes: z.int(),
    filesBefore: z.int().nullable(),
    bytesBefore: z.int().nullable(),
    sinceMs: z.number(),
    expiresMs: z.number(),
    problem: z.string().exactOptional().describe('why it is accepted, and not published yet'),
  })
  .describe('what its publisher did not publish, for what it drops: it waits for the verdict of an admin')

const TREE = z.strictObject({
  tree: z.string(),
  epoch: z.int().nullable(),
  sequence: z.int().nullable(),
  snapshot: z.string().nullable(),
  publisher: z.string().nullable(),
  files: z.int().nullable(),
  bytes: z.int().nullable(),
  timeMs: z.number().nullable().exactOptional(),
  sites: z.array(REPLICA),
  copies: z
    .strictObject({
      wanted: z.int(),
      verified: z.int(),
      sequence: z.int(),
      sites: z.array(
        z.strictObject({ site: z.string(), sequence: z.int(), timeMs: z.number(), by: z.string() }),
      ),
    })
    .exactOptional()
    .describe('verified copies of the head, where a pin names a minimum'),
  inPlace: z
    .strictObject({ path: z.string(), completeElsewhere: z.int(), isAtRisk: z.boolean() })
    .exactOptional(),
  heldBack: HELD_BACK.exactOptional(),
})

const SITE = z.strictObject({
  site: z.string(),
  region: z.string(),
  peer: z.string(),
  state: z.enum(['self', 'up', 'silent', 'never-seen']),
  ageSeconds: z.number().nullable().describe('since it was last heard of'),
  addresses: z.array(z.string()),
  version: z.string().nullable(),
  url: z.string().nullable().exactOptional().describe('of its gateway, as clients know it'),
  freeBytes: z.number().nullable().exactOptional(),
  takedownsDone: z.array(z.string()).exactOptional(),
  labels: z.array(z.string()),
  drained: z.boolean(),
  note: z.string(),
  traffic: z.strictObject({ bytesSent: z.int(), bytesReceived: z.int() }).nullable().exactOptional(),
})

const CLASS = z.strictObject({
  bytesSent: z.int(),
  bytesReceived: z.int(),
  plainBytesSent: z.int(),
  plainBytesReceived: z.int(),
})

const TRAFFIC = z.strictObject({
  peers: z.array(
    CLASS.extend({
      site: z.string().nullable(),
      peer: z.string(),
      pathClass: z.enum(['site', 'region', 'wan']),
      blocksSent: z.int(),
      blocksReceived: z.int(),
      bytesSentBeforeComplete: z.int(),
      givesWay: z.boolean().exactOptional().describe('what is sent to it makes room for other traffic'),
    }),
  ),
  classes: z.strictObject({ site: CLASS, region: CLASS, wan: CLASS }),
  blocksSent: z.int(),
  blocksSentMoreThanOnce: z.int(),
  deltas: z.strictObject({ bytesReceived: z.int(), bytesMade: z.int() }).exactOptional(),
  bytesSentBeforeComplete: z.int(),
})

const TAKEDOWN = z.strictObject({
  name: z.string(),
  tree: z.string(),
  path: z.string().nullable(),
  sequences: z.array(z.int()),
  reason: z.string(),
  record: z.string(),
  issuer: z.string(),
  timeMs: z.number(),
  sites: z.array(z.strictObject({ site: z.string(), state: z.enum(['done', 'pending', 'unknown']) })),
})

/** A newcomer that waits for an admin. */
export const REQUEST = z.strictObject({
  peer: z.string(),
  /** As the newcomer shows it too. */
  code: z.string(),
  site: z.string().nullable(),
  region: z.string().nullable(),
  address: z.string(),
  sinceMs: z.int(),
  /** The member that it asked, and its site. */
  via: z.string(),
  viaSite: z.string(),
})

export const STATUS = z.strictObject({
  mesh: z.strictObject({ name: z.string(), id: z.string() }),
  self: z.strictObject({ peer: z.string(), site: z.string(), region: z.string(), version: z.string() }),
  sites: z.array(SITE),
  trees: z.array(TREE),
  traffic: TRAFFIC,
  alarms: z.array(z.strictObject({ kind: z.string(), subject: z.string(), detail: z.string() })),
  takedowns: z.array(TAKEDOWN).exactOptional().describe('those in force, newest first'),
  requests: z.array(REQUEST).exactOptional(),
}) satisfies z.ZodType<StatusDocument>
