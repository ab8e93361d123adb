/**
 * The settings of a node: one schema gives types, defaults, documents and messages. What is the mesh's (sites, trees, pins) is
 * in signed records and never here. Where values come from: config.ts.
 */
import { z } from 'zod'
import { isTreePattern } from '../src/base/names.ts'
import { readWebUrl } from '../src/base/web-url.ts'
import { DELTA_MODES } from '../src/replica/deltas/delta-mode.ts'
import { STORE_COMPRESSIONS } from '../src/store/block-store.ts'
import { HOOK_EVENTS } from './hooks/hook-events.ts'
import { MAX_GIVE_WAY_MS, MIN_GIVE_WAY_RATE } from './limit-names.ts'
import { SCHEDULE } from './limit-schedule.ts'

const HOST_PORT = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/

const hostPort = z.string().refine(isHostPort, {
  error: (issue) => `is HOST:PORT, such as 0.0.0.0:4001 or [::]:4001, not ${JSON.stringify(issue.input)}`,
})

function isHostPort(text: string): boolean {
  const port = HOST_PORT.exec(text)?.[1]
  return port !== undefined && Number(port) <= 65_535
}

const listOf = <T extends z.ZodType>(one: T) =>
  z.preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(one).max(16))

const HOOK = z
  .strictObject({
    on: z.array(z.enum(HOOK_EVENTS)).min(1),
    tree: z.string().refine(isTreePattern, 'is not a tree or pattern').default('**'),
    command: z.array(z.string().min(1)).min(1).optional(),
    url: z.url({ protocol: /^https?$/, error: 'is not an http or https URL' }).optional(),
    secretFile: z.string().startsWith('/', 'is not an absolute path').optional(),
    timeoutSeconds: z.number().min(1).max(86_400).default(600),
  })
  .refine(({ command, url }) => (command === undefined) !== (url === undefined), 'has one of command and url')
  .refine(
    ({ url, secretFile }) => secretFile === undefined || url !== undefined,
    'has a secretFile and no url',
  )

/** Flat on purpose: a key, an environment variable and a line of documentation for each. */
export const SETTINGS = z.strictObject({
  listen: listOf(hostPort)
    .default(['0.0.0.0:4001'])
    .describe('where other nodes connect: HOST:PORT, or a list of them'),
  announce: listOf(hostPort)
    .default([])
    .describe('what other nodes are told to connect to; what is listened on when empty'),
  reachable: z
    .boolean()
    .default(true)
    .describe('whether other nodes can connect to this one; if not, members relay for it'),
  joinRequests: z
    .boolean()
    .default(true)
    .describe('whether a machine without an invite may ask here to join; an admin decides (member requests)'),
  http: z
    .string()
    .refine((text) => text === 'off' || isHostPort(text), {
      error: (issue) => `is HOST:PORT or off, not ${JSON.stringify(issue.input)}`,
    })
    .default('127.0.0.1:8080')
    .describe('where the gateway and /metrics answer: HOST:PORT, or off'),
  httpCertificate: z
    .string()
    .startsWith('/', 'is not an absolute path')
    .optional()
    .describe(
      'PEM file of a certificate chain: the gateway then speaks HTTPS; read again when it is renewed',
    ),
  httpKey: z
    .string()
    .startsWith('/', 'is not an absolute path')
    .optional()
    .describe('PEM file of the key of that certificate'),
  httpAccessLog: z
    .string()
    .startsWith('/', 'is not an absolute path')
    .optional()
    .describe('file to which the gateway writes a line for each request, in the combined format'),
  httpMaxConnections: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(4096)
    .describe('connections of clients to the gateway at a time; those beyond it are answered 503'),
  httpClientConnections: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(512)
    .describe('the same for one client: an IPv4 address, or the /64 of an IPv6 address'),
  httpMaxRequests: z
    .int()
    .min(1)
    .max(100_000)
    .default(1024)
    .describe('requests that the gateway works on at a time, which is what its memory depends on'),
  httpBytesPerSecond: z
    .int()
    .min(0)
    .max(100_000_000_000)
    .default(0)
    .describe('the most that the gateway sends to its clients, in all; 0 is no cap'),
  httpClientBytesPerSecond: z
    .int()
    .min(0)
    .max(100_000_000_000)
    .default(0)
    .describe('the most that the gateway sends to one client; 0 is no cap'),
  pullQuotaBytes: z
    .int()
    .min(0)
    .max(1_000_000_000_000_000)
    .default(10_000_000_000)
    .describe(
      'the most that is kept of what the gateway fetches from the mesh for its readers; 0 fetches nothing',
    ),
  apiListen: z
    .string()
    .refine((text) => text === 'off' || isHostPort(text), {
      error: (issue) => `is HOST:PORT or off, not ${JSON.stringify(issue.input)}`,
    })
    .default('off')
    .describe(
      'where the API and the console answer browsers and other machines, by token: HOST:PORT, or off; takes TLS unless it is loopback',
    ),
  apiCertificate: z
    .string()
    .startsWith('/', 'is not an absolute path')
    .optional()
    .describe('PEM file of the certificate chain of the API; read again when it is renewed'),
  apiKey: z
    .string()
    .startsWith('/', 'is not an absolute path')
    .optional()
    .describe('PEM file of the key of that certificate'),
  apiHosts: listOf(z.string().regex(/^[A-Za-z0-9.-]{1,253}$/, 'is not the name of a host'))
    .default([])
    .describe(
      'names, beside those of the certificate, by which browsers may call the API: of a proxy before it',
    ),
  httpUrl: z
    .string()
    .refine((text) => readWebUrl(text) !== undefined, {
      error: (issue) =>
        `is an http or https URL without query, such as http://lab-a.example:8080/, not ${JSON.stringify(issue.input)}`,
    })
    .optional()
    .describe("the gateway's address as clients know it, which other sites hand out in mirror lists"),
  httpKeepMovedHours: z
    .number()
    .min(0)
    .max(8760)
    .default(24)
    .describe(
      'how long a path that is gone from the newest snapshot is served from the ones before; 0 is not',
    ),
  security: listOf(z.enum(['tls', 'noise']))
    .default(['tls', 'noise'])
    .describe('encryptions between nodes, best first'),
  logLevel: z
    .enum(['debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('the least important events that are logged'),
  logFormat: z
    .enum(['auto', 'json', 'text'])
    .default('auto')
    .describe('auto is text on a terminal and JSON elsewhere'),
  workers: z
    .int()
    .min(1)
    .max(64)
    .optional()
    .describe('threads that import and check out; by the number of cores, 4 at most, when left out'),
  storeCompression: z
    .enum(STORE_COMPRESSIONS)
    .default('received')
    .describe(
      'blocks on disk: none is plain; received keeps what came compressed; zstd compresses what is published too',
    ),
  deltas: z
    .enum(DELTA_MODES)
    .default('along')
    .describe(
      'when a publish makes deltas against the snapshot before: before or along or after its head goes out, or off',
    ),
  deltaBases: z
    .int()
    .min(1)
    .max(16)
    .default(1)
    .describe('snapshots before a new one that a publish makes deltas against, for sites that missed some'),
  deltaPercent: z
    .number()
    .min(0)
    .max(100)
    .default(10)
    .describe("the most that a tree's deltas take here, as a share of its newest snapshot"),
  wireCompression: z
    .enum(['none', 'wan'])
    .default('wan')
    .describe('wan compresses, where it pays, the blocks that leave for other regions'),
  wanUpBytesPerSecond: z
    .int()
    .min(0)
    .max(100_000_000_000)
    .default(0)
    .describe('the most that this site sends to other regions, in all; 0 is no cap'),
  wanDownBytesPerSecond: z
    .int()
    .min(0)
    .max(100_000_000_000)
    .default(0)
    .describe('the most that this site fetches from other regions, in all; 0 is no cap'),
  regionUpBytesPerSecond: z
    .int()
    .min(0)
    .max(100_000_000_000)
    .default(0)
    .describe('the most that this site sends within its region; 0 is no cap'),
  regionDownBytesPerSecond: z
    .int()
    .min(0)
    .max(100_000_000_000)
    .default(0)
    .describe('the most that this site fetches within its region; 0 is no cap'),
  giveWayMs: z
    .int()
    .min(0)
    .max(MAX_GIVE_WAY_MS)
    .default(0)
    .describe(
      'what this site sends to other regions makes room for other traffic: milliseconds of queue; 0 does not',
    ),
  giveWayMinBytesPerSecond: z
    .int()
    .min(MIN_GIVE_WAY_RATE)
    .max(100_000_000_000)
    .default(100_000)
    .describe('the least that it sends over a path for which it makes room'),
  limitSchedule: SCHEDULE.optional().describe(
    'those four by the time of the week: a time zone and windows, of which the first that holds counts',
  ),
  devices: z
    .boolean()
    .default(false)
    .describe('make the device nodes of trees in the check-outs of pins; takes root, else they are reported'),
  keepSnapshots: z
    .int()
    .min(1)
    .max(10_000)
    .default(3)
    .describe('complete snapshots of each tree that stay here, the newest ones'),
  maxShrinkPercent: z
    .number()
    .min(0)
    .max(100)
    .default(30)
    .describe('a publish that loses more of its files or bytes waits for --accept-shrink; 100 never does'),
  heldBackDays: z
    .number()
    .min(0)
    .max(365)
    .default(7)
    .describe('how long a publish that loses too much waits for the verdict of an admin'),
  keepUnpinnedDays: z
    .number()
    .min(0)
    .max(3650)
    .default(7)
    .describe('days that a tree stays here after it was pinned here for the last time'),
  collectEveryMinutes: z
    .int()
    .min(0)
    .max(100_000)
    .default(60)
    .describe('collects what is not needed at most this often; 0 leaves it to `mirrormesh gc`'),
  scrubBytesPerSecond: z
    .int()
    .min(1000)
    .max(100_000_000_000)
    .default(20_000_000)
    .describe('how fast the store is read through to find damage'),
  scrubEveryDays: z
    .number()
    .min(0)
    .max(3650)
    .default(30)
    .describe('days from one scrub to the next; 0 leaves it to `mirrormesh scrub`'),
  checkoutsAreStorage: z
    .boolean()
    .default(true)
    .describe('check-outs of pins hold their blocks, which packs then do not; never of trees published here'),
  hooks: z
    .array(HOOK)
    .max(32)
    .default([])
    .describe('what is run or called when a tree is complete, fails or falls behind here'),
  hookBehindMinutes: z
    .number()
    .min(0.01)
    .max(100_000)
    .default(60)
    .describe('a head that is known and not complete here for so long is told as behind'),
  freezeAlarmHours: z
    .number()
    .min(0)
    .max(10_000)
    .default(24)
    .describe(
      'a publisher of which nothing is heard for so long raises an alarm: what is newest here may not be; 0 for never',
    ),
  copiesAlarmMinutes: z
    .number()
    .min(0)
    .max(100_000)
    .default(60)
    .describe(
      'fewer verified copies than a pin wants of a head that is older than this raise an alarm; 0 for never',
    ),
  keepOldSeconds: z
    .int()
    .min(0)
    .max(30 * 86_400)
    .default(0)
    .describe('how long the tree that a check-out replaced stays beside it, for NFS clients that read it'),
  checkoutsAheadSeconds: z
    .number()
    .min(0)
    .max(365 * 86_400)
    .default(60)
    .describe('a fetch that takes longer has its check-out written meanwhile; 0 from the start'),
})

export type Config = Readonly<z.output<typeof SETTINGS>>
export type ConfigKey = keyof Config
