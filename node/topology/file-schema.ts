/** The shape of a topology file, with units as people write them. */
import { z } from 'zod'
import { isSegment } from '../../src/base/names.ts'
import { regionOfEnd } from '../../src/topology/topology.ts'
import { parseMs, parseRate } from './units.ts'

const name = z.string().refine(isSegment, { error: 'is not a name (a-z, 0-9, ".", "_", "-")' })
const rate = z.unknown().transform((value, context): number => {
  const kbit = parseRate(value)
  if (kbit === undefined)
    context.issues.push({
      code: 'custom',
      input: value,
      message: 'is not a rate, such as "25 Mbit/s" (a plain number is Mbit/s)',
    })
  return kbit ?? 0
})
const time = z.unknown().transform((value, context): number => {
  const ms = parseMs(value)
  if (ms === undefined)
    context.issues.push({
      code: 'custom',
      input: value,
      message: 'is not a time, such as "160 ms" (a plain number is ms)',
    })
  return ms ?? 0
})
const end = z.string().refine((text) => isSegment(regionOfEnd(text) ?? text), {
  error: 'is not a site, a region or region:NAME',
})
const ends = z.tuple([end, end])
export const either = z.union([end, ends], { error: 'is a site, a region, or a list of two of them' })

export const FILE = z.strictObject({
  name: z.string().optional(),
  origin: name.optional(),
  regions: z
    .record(
      name,
      z
        .strictObject({
          up: rate.optional(),
          down: rate.optional(),
          sites: z.int().min(1).max(1000).optional(),
        })
        .nullable(),
    )
    .default({}),
  sites: z
    .record(
      name,
      z
        .strictObject({
          region: name.optional(),
          up: rate.optional(),
          down: rate.optional(),
          subnets: z.array(z.string()).optional(),
          reachable: z.boolean().optional(),
        })
        .nullable(),
    )
    .default({}),
  paths: z
    .array(
      z.strictObject({
        between: ends,
        rtt: time.optional(),
        rate: rate.optional(),
        cost: z.int().optional(),
      }),
    )
    .default([]),
  events: z
    .array(
      z.union(
        [
          z.strictObject({ at: time, kill: name }),
          z.strictObject({ at: time, restart: name }),
          z.strictObject({ at: time, join: name }),
          z.strictObject({ at: time, stall: name }),
          z.strictObject({ at: time, pause: name, for: time }),
          z.strictObject({ at: time, lie: name }),
          z.strictObject({ at: time, cut: either }),
          z.strictObject({ at: time, heal: z.union([either, z.literal('all')]) }),
          z.strictObject({ at: time, rate: name, up: rate.optional(), down: rate.optional() }),
        ],
        {
          error:
            'is not "at: TIME" with one of kill, restart, join, stall, lie, cut, heal, or rate with up and down',
        },
      ),
    )
    .default([]),
})

export type FileContent = z.output<typeof FILE>
