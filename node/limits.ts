/**
 * The caps on what this site sends and receives, as they are now: those of config.yaml, or what an operator set since, which
 * is kept in a file of its own and goes before it until it is taken back. Changed while everything goes on.
 */
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { asMirrorError, MirrorError } from '../src/base/errors.ts'
import { Semaphore } from '../src/base/semaphore.ts'
import type { RateCaps } from '../src/replica/fetch/rate-caps.ts'
import type { Config } from './config.ts'
import { makePrivateDir, writeDurably } from './durable-file.ts'

export const LIMIT_NAMES = [
  'wanUpBytesPerSecond',
  'wanDownBytesPerSecond',
  'regionUpBytesPerSecond',
  'regionDownBytesPerSecond',
] as const
export type LimitName = (typeof LIMIT_NAMES)[number]

const RATE = z.int().min(0).max(100_000_000_000)
/** Null takes back what was set. */
export const LIMIT_CHANGE = z.strictObject({
  wanUpBytesPerSecond: RATE.nullable().exactOptional(),
  wanDownBytesPerSecond: RATE.nullable().exactOptional(),
  regionUpBytesPerSecond: RATE.nullable().exactOptional(),
  regionDownBytesPerSecond: RATE.nullable().exactOptional(),
})
const FILE = z.partialRecord(z.enum(LIMIT_NAMES), RATE)

export interface Limit {
  /** 0 is no cap. */
  readonly value: number
  readonly from: 'config' | 'set'
  /** What config.yaml and its defaults say. */
  readonly configured: number
}

export type LimitsDocument = Readonly<Record<LimitName, Limit>>

export interface Limits {
  read(): LimitsDocument
  caps(): RateCaps
  /** Durable, then in force, then answered. */
  change(change: z.output<typeof LIMIT_CHANGE>): Promise<LimitsDocument>
}

export async function loadLimits({
  file,
  config,
  onChange,
}: {
  readonly file: string
  readonly config: Config
  readonly onChange: (caps: RateCaps) => void
}): Promise<Limits> {
  let set = await readSet(file)
  const turns = new Semaphore(1)

  const rateOf = (name: LimitName): number => set[name] ?? config[name]
  const read = (): LimitsDocument =>
    Object.fromEntries(
      LIMIT_NAMES.map((name): [LimitName, Limit] => [
        name,
        { value: rateOf(name), from: set[name] === undefined ? 'config' : 'set', configured: config[name] },
      ]),
    ) as Record<LimitName, Limit>
  const caps = (): RateCaps => ({
    wan: { up: rateOf('wanUpBytesPerSecond'), down: rateOf('wanDownBytesPerSecond') },
    region: { up: rateOf('regionUpBytesPerSecond'), down: rateOf('regionDownBytesPerSecond') },
  })

  return {
    read,
    caps,
    change: (change) =>
      turns.run(async () => {
        const next = { ...set }
        for (const name of LIMIT_NAMES) {
          const value = change[name]
          if (value === null) delete next[name]
          else if (value !== undefined) next[name] = value
        }
        await makePrivateDir(dirname(file))
        await writeDurably(file, `${JSON.stringify(next, null, 2)}\n`, { mode: 0o644 })
        set = next
        onChange(caps())
        return read()
      }),
  }
}

async function readSet(file: string): Promise<Partial<Record<LimitName, number>>> {
  try {
    return FILE.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return {}
    const error = asMirrorError(thrown, `read the limits that were set, ${file}`)
    if (error.code === 'refused' || error.code === 'io') throw error
    throw new MirrorError('corrupt', `the limits that were set cannot be read: ${file}`, {
      cause: error,
      hint: 'Remove it: those of config.yaml hold then.',
    })
  }
}
