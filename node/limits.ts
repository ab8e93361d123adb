/**
 * The caps on what this site sends and receives, and how it gives way to other traffic, as they are now: those of config.yaml, or what an operator set since, which
 * is kept in a file of its own and goes before it until it is taken back; and before both what the schedule says for this time of
 * the week (limit-schedule.ts), which is config.yaml's or set as well. Changed while everything goes on.
 */
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import type { Clock } from '../src/base/clock.ts'
import { asMirrorError, MirrorError } from '../src/base/errors.ts'
import { Semaphore } from '../src/base/semaphore.ts'
import type { GiveWaySettings } from '../src/net/give-way.ts'
import type { RateCaps } from '../src/replica/fetch/rate-caps.ts'
import type { Config } from './config.ts'
import { makePrivateDir, writeDurably } from './durable-file.ts'
import {
  GIVE_WAY_NAMES,
  type GiveWayName,
  LIMIT_NAMES,
  type LimitName,
  MAX_GIVE_WAY_MS,
  MIN_GIVE_WAY_RATE,
} from './limit-names.ts'
import { type LimitSchedule, nextChangeMs, RATE, SCHEDULE, windowAt } from './limit-schedule.ts'

const GIVE_WAY_MS = z.int().min(0).max(MAX_GIVE_WAY_MS)
const GIVE_WAY_MIN = RATE.min(MIN_GIVE_WAY_RATE)

/** Null takes back what was set. */
export const LIMIT_CHANGE = z.strictObject({
  wanUpBytesPerSecond: RATE.nullable().exactOptional(),
  wanDownBytesPerSecond: RATE.nullable().exactOptional(),
  regionUpBytesPerSecond: RATE.nullable().exactOptional(),
  regionDownBytesPerSecond: RATE.nullable().exactOptional(),
  giveWayMs: GIVE_WAY_MS.nullable().exactOptional().describe('0 gives way to nobody'),
  giveWayMinBytesPerSecond: GIVE_WAY_MIN.nullable().exactOptional(),
  schedule: SCHEDULE.nullable().exactOptional().describe('in whole; without windows nothing is scheduled'),
})
const FILE = z.strictObject({
  wanUpBytesPerSecond: RATE.exactOptional(),
  wanDownBytesPerSecond: RATE.exactOptional(),
  regionUpBytesPerSecond: RATE.exactOptional(),
  regionDownBytesPerSecond: RATE.exactOptional(),
  giveWayMs: GIVE_WAY_MS.exactOptional(),
  giveWayMinBytesPerSecond: GIVE_WAY_MIN.exactOptional(),
  schedule: SCHEDULE.exactOptional(),
})

type KeptLimits = Readonly<z.output<typeof FILE>>

export interface Limit {
  /** 0 is no cap. */
  readonly value: number
  readonly from: 'config' | 'set' | 'schedule'
  /** What config.yaml and its defaults say. */
  readonly configured: number
  /** What holds when no window says otherwise. */
  readonly otherwise: number
}

/** No window says anything of it. */
export interface GiveWayLimit {
  readonly value: number
  readonly from: 'config' | 'set'
  readonly configured: number
}

export interface ScheduleDocument extends LimitSchedule {
  readonly from: 'config' | 'set'
  /** Of the windows; null while none holds. */
  readonly active: number | null
  /** When that changes; null when it does not within a week. */
  readonly untilMs: number | null
}

export interface LimitsDocument
  extends Readonly<Record<LimitName, Limit> & Record<GiveWayName, GiveWayLimit>> {
  /** Null: there is none. */
  readonly schedule: ScheduleDocument | null
}

export interface Limits {
  read(): LimitsDocument
  /** What was said, whatever the time: it changes when somebody changes it. */
  said(): unknown
  caps(): RateCaps
  /** Undefined: to nobody. */
  giveWay(): GiveWaySettings | undefined
  /** Durable, then in force, then answered. */
  change(change: z.output<typeof LIMIT_CHANGE>): Promise<LimitsDocument>
  /** Follows the schedule from now on. */
  start(): void
  stop(): void
}

/** The clocks of the machine may be set, or leap while it sleeps. */
const LOOK_MS = 60_000

export async function loadLimits({
  file,
  config,
  clock,
  onChange,
  onGiveWay = () => undefined,
}: {
  readonly file: string
  readonly config: Config
  readonly clock: Clock
  readonly onChange: (caps: RateCaps) => void
  readonly onGiveWay?: (settings: GiveWaySettings | undefined) => void
}): Promise<Limits> {
  let set = await readSet(file)
  const turns = new Semaphore(1)
  let cancel: (() => void) | undefined
  let inForce = ''
  let givenWay = ''

  const schedule = (): LimitSchedule | undefined => set.schedule ?? config.limitSchedule
  const otherwise = (name: LimitName): number => set[name] ?? config[name]
  const windowNow = () => {
    const now = schedule()
    const at = now === undefined ? undefined : windowAt(now, clock.nowMs())
    return at === undefined ? undefined : now?.windows[at]
  }
  const caps = (): RateCaps => {
    const window = windowNow()
    const rateOf = (name: LimitName): number => window?.[name] ?? otherwise(name)
    return {
      wan: { up: rateOf('wanUpBytesPerSecond'), down: rateOf('wanDownBytesPerSecond') },
      region: { up: rateOf('regionUpBytesPerSecond'), down: rateOf('regionDownBytesPerSecond') },
    }
  }

  const giveWay = (): GiveWaySettings | undefined => {
    const [targetMs, minBytesPerSecond] = [settingOf('giveWayMs'), settingOf('giveWayMinBytesPerSecond')]
    return targetMs.value === 0
      ? undefined
      : { targetMs: targetMs.value, minBytesPerSecond: minBytesPerSecond.value }
  }

  function settingOf(name: GiveWayName): GiveWayLimit {
    const value = set[name]
    return {
      value: value ?? config[name],
      from: value === undefined ? 'config' : 'set',
      configured: config[name],
    }
  }

  function limit(name: LimitName): Limit {
    const scheduled = windowNow()?.[name]
    return {
      value: scheduled ?? otherwise(name),
      from: scheduled !== undefined ? 'schedule' : set[name] === undefined ? 'config' : 'set',
      configured: config[name],
      otherwise: otherwise(name),
    }
  }

  function read(): LimitsDocument {
    const [wanUp, wanDown, regionUp, regionDown] = LIMIT_NAMES.map(limit)
    return {
      wanUpBytesPerSecond: wanUp!,
      wanDownBytesPerSecond: wanDown!,
      regionUpBytesPerSecond: regionUp!,
      regionDownBytesPerSecond: regionDown!,
      giveWayMs: settingOf('giveWayMs'),
      giveWayMinBytesPerSecond: settingOf('giveWayMinBytesPerSecond'),
      schedule: describeSchedule(),
    }
  }

  function describeSchedule(): ScheduleDocument | null {
    const now = schedule()
    if (now === undefined || now.windows.length === 0) return null
    const nowMs = clock.nowMs()
    return {
      ...now,
      from: set.schedule === undefined ? 'config' : 'set',
      active: windowAt(now, nowMs) ?? null,
      untilMs: nextChangeMs(now, nowMs) ?? null,
    }
  }

  /** Tells of other settings than those in force, and of no others. */
  function look(): void {
    const next = caps()
    const text = JSON.stringify(next)
    if (text !== inForce) {
      inForce = text
      onChange(next)
    }
    const settings = giveWay()
    const said = JSON.stringify(settings ?? null)
    if (said !== givenWay) {
      givenWay = said
      onGiveWay(settings)
    }
  }

  function follow(): void {
    look()
    const toMinute = LOOK_MS - (clock.nowMs() % LOOK_MS)
    cancel = clock.after(toMinute, follow)
  }

  inForce = JSON.stringify(caps())
  givenWay = JSON.stringify(giveWay() ?? null)
  return {
    read,
    said: () => [
      [...LIMIT_NAMES, ...GIVE_WAY_NAMES].map((name) => [config[name], set[name] ?? null]),
      schedule() ?? null,
    ],
    caps,
    giveWay,
    change: (change) =>
      turns.run(async () => {
        const next: Record<string, unknown> = { ...set }
        for (const [name, value] of Object.entries(change)) {
          if (value === null) delete next[name]
          else if (value !== undefined) next[name] = value
        }
        await makePrivateDir(dirname(file))
        await writeDurably(file, `${JSON.stringify(next, null, 2)}\n`, { mode: 0o644 })
        set = next as KeptLimits
        look()
        return read()
      }),
    start: follow,
    stop: () => cancel?.(),
  }
}

async function readSet(file: string): Promise<KeptLimits> {
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
