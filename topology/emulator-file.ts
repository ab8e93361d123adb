/**
 * Reads the JSON files of the network emulator (regions and sites with up_mbit and down_mbit, round trips between them),
 * so that one file can be simulated and emulated. Queues, losses and jitter are left out, and said to be.
 */
import { z } from 'zod'
import { MirrorError } from '../src/base/errors.ts'
import {
  comparePaths,
  decodeTopology,
  MAX_RTT_MS,
  type PathLink,
  type Rate,
  regionEnd,
} from '../src/topology/topology.ts'
import type { Scenario } from './scenario.ts'

const mbit = z.number().min(0)
const rates = {
  up_mbit: mbit.optional(),
  down_mbit: mbit.optional(),
  queue_ms: z.number().optional(),
  up_queue_bytes: z.number().optional(),
  down_queue_bytes: z.number().optional(),
}
const path = {
  rtt_ms: z.number().min(0).max(MAX_RTT_MS).optional(),
  jitter_ms: z.number().optional(),
  loss_pct: z.number().optional(),
}

const FILE = z.strictObject({
  name: z.string().default('emulated'),
  origin: z.string(),
  mtu: z.int().optional(),
  tcp_congestion_control: z.string().optional(),
  seed: z.int().optional(),
  quantum_us: z.number().optional(),
  defaults: z
    .strictObject({
      access: z.strictObject(rates).optional(),
      wan: z.strictObject(rates).optional(),
      intra: z.strictObject(path).optional(),
      inter: z.strictObject(path).optional(),
    })
    .default({}),
  regions: z.record(z.string(), z.strictObject(rates)),
  between: z
    .array(z.strictObject({ regions: z.tuple([z.string(), z.string()]), mbit: mbit.optional(), ...path }))
    .default([]),
  sites: z.record(
    z.string(),
    z.strictObject({
      region: z.string(),
      ...rates,
      extra_delay_ms: z.number().optional(),
      loss_pct: z.number().optional(),
    }),
  ),
  pairs: z
    .array(
      z.strictObject({
        sites: z.tuple([z.string(), z.string()]),
        mbit: mbit.optional(),
        one_way: z.boolean().optional(),
        ...path,
      }),
    )
    .default([]),
})

type Content = z.output<typeof FILE>

/** Whether a document is one of the emulator's, not a topology file. */
export function isEmulatorFile(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { between, pairs, defaults, regions } = value as Record<string, unknown>
  const first = typeof regions === 'object' && regions !== null ? Object.values(regions)[0] : undefined
  return (
    between !== undefined ||
    pairs !== undefined ||
    defaults !== undefined ||
    (typeof first === 'object' && first !== null && 'up_mbit' in first)
  )
}

/** @throws MirrorError `invalid` naming the field */
export function readEmulatorFile(value: unknown, file: string): Scenario {
  const result = FILE.safeParse(value)
  if (!result.success) {
    const issue = result.error.issues[0]!
    throw new MirrorError('invalid', `${file}: ${issue.path.join('.')}: ${issue.message}`)
  }
  const content = result.data
  const { access = {}, wan = {}, intra = {}, inter = {} } = content.defaults
  const topology = decodeTopology({
    regions: Object.entries(content.regions)
      .map(([region, own]) => ({ region, ...rateOf({ ...wan, ...own }) }))
      .sort((a, b) => (a.region < b.region ? -1 : 1)),
    sites: Object.entries(content.sites)
      .map(([site, { region: _, extra_delay_ms: __, loss_pct: ___, ...own }]) => ({
        site,
        ...rateOf({ up_mbit: 1000, down_mbit: 1000, ...access, ...own }),
      }))
      .sort((a, b) => (a.site < b.site ? -1 : 1)),
    paths: pathsOf(content).sort(comparePaths),
  })
  return {
    name: content.name,
    origin: content.origin,
    topology,
    places: Object.entries(content.sites).map(([site, { region }]) => ({ site, region })),
    events: [],
    lanRttMs: intra.rtt_ms ?? 1,
    wanRttMs: inter.rtt_ms ?? 80,
    notes: leftOut(content),
  }
}

/** 0 is no limit there. */
function rateOf({
  up_mbit: up,
  down_mbit: down,
}: {
  up_mbit?: number | undefined
  down_mbit?: number | undefined
}): Rate {
  return {
    ...(up === undefined || up === 0 ? {} : { upKbit: Math.round(up * 1000) }),
    ...(down === undefined || down === 0 ? {} : { downKbit: Math.round(down * 1000) }),
  }
}

function pathsOf({ between, pairs }: Content): PathLink[] {
  const link = (
    ends: readonly [string, string],
    rtt: number | undefined,
    rate: number | undefined,
  ): PathLink => {
    const [a, b] = [...ends].sort() as [string, string]
    return {
      between: [a, b],
      ...(rtt === undefined ? {} : { rttMs: Math.max(1, Math.round(rtt)) }),
      ...(rate === undefined || rate === 0 ? {} : { kbit: Math.round(rate * 1000) }),
    }
  }
  return [
    ...between.map(({ regions: [a, b], rtt_ms, mbit: rate }) =>
      link([regionEnd(a), regionEnd(b)], rtt_ms, rate),
    ),
    ...pairs.map(({ sites, rtt_ms, mbit: rate }) => link(sites, rtt_ms, rate)),
  ]
}

function leftOut({ defaults, between, pairs, sites }: Content): string[] {
  const paths = [defaults.intra, defaults.inter, ...between, ...pairs]
  const notes: string[] = []
  if (
    paths.some((each) => (each?.loss_pct ?? 0) > 0) ||
    Object.values(sites).some(({ loss_pct }) => (loss_pct ?? 0) > 0)
  )
    notes.push('losses are not simulated')
  if (paths.some((each) => (each?.jitter_ms ?? 0) > 0)) notes.push('jitter is not simulated')
  if (Object.values(sites).some(({ extra_delay_ms }) => (extra_delay_ms ?? 0) > 0))
    notes.push('extra delays of sites are not simulated')
  if (pairs.some(({ one_way }) => one_way === true))
    notes.push('pairs that differ in one direction are taken to be the same in both')
  return notes
}
