/** `limits`: what this site sends and receives at most, seen and changed while the daemon runs; by the time of the week too. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { LimitsAnswer } from '../../api/answers.ts'
import type { GiveWayName, LimitName } from '../../limit-names.ts'
import type { Limit, ScheduleDocument } from '../../limits.ts'
import type { Context } from '../context.ts'
import { giveWayText, parseGiveWay } from '../give-way.ts'
import { CAPS, formatWindow, parseRate, parseWindow } from '../limit-window.ts'
import { formatBytes, formatTime } from '../quantity.ts'
import { formatTable } from '../table.ts'

interface SetOptions {
  readonly wanUp?: string
  readonly wanDown?: string
  readonly regionUp?: string
  readonly regionDown?: string
  readonly giveWay?: string
  readonly giveWayMin?: string
  readonly json?: boolean
}

interface ScheduleOptions {
  readonly window: readonly string[]
  readonly timeZone?: string
  readonly none?: boolean
  readonly config?: boolean
  readonly json?: boolean
}

const OPTIONS = {
  wanUp: CAPS['wan-up'],
  wanDown: CAPS['wan-down'],
  regionUp: CAPS['region-up'],
  regionDown: CAPS['region-down'],
} as const satisfies Record<string, LimitName>

export function define(command: Command, context: Context): void {
  command
    .command('show')
    .description('show the caps of this site, where each comes from, and their schedule')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => show(context, options.json === true))
  command
    .command('set')
    .description('change caps at once; kept over restarts, and before config.yaml, until `config` is said')
    .option('--wan-up <RATE>', 'to other regions: bytes a second (500k, 20M), none, or config')
    .option('--wan-down <RATE>', 'from other regions')
    .option('--region-up <RATE>', 'to sites of this region')
    .option('--region-down <RATE>', 'from sites of this region')
    .option(
      '--give-way <TARGET>',
      'make room for other traffic on the way to other regions: on, off, or milliseconds of queue (40); or config',
    )
    .option('--give-way-min <RATE>', 'the least that is sent meanwhile over a path, or config')
    .option('--json', 'print the caps as JSON')
    .action((options: SetOptions) => set(context, options))
  command
    .command('schedule')
    .description(
      'other caps at certain times of the week; kept over restarts, in place of what was scheduled',
    )
    .option(
      '--window <WINDOW>',
      'such as "mon-fri 08:00-18:00 wan-up=2M"; may be given more than once',
      collect,
      [],
    )
    .option(
      '--time-zone <ZONE>',
      "of the times, such as Europe/Prague; the machine's of the daemon when left out",
    )
    .option('--none', 'nothing is scheduled, whatever config.yaml says')
    .option('--config', 'what config.yaml says (limitSchedule)')
    .option('--json', 'print the caps as JSON')
    .addHelpText(
      'after',
      `
Of several windows the first that holds counts; caps that it does not name are as set or configured. Days are mon to sun
(mon-fri, sat,sun; daily when left out), times are quarters of an hour; a window whose end is not after its beginning ends on
the next day. Trees that a pin makes urgent are not held up by any cap.`,
    )
    .action((options: ScheduleOptions) => schedule(context, options))
}

async function show({ api, signal, terminal }: Context, isJson: boolean): Promise<void> {
  await terminal.print(format(await api.get<LimitsAnswer>('/api/v1/limits', signal), isJson))
}

async function set({ api, signal, terminal }: Context, options: SetOptions): Promise<void> {
  const change: Partial<Record<LimitName | GiveWayName, number | null>> = {}
  for (const [flag, name] of Object.entries(OPTIONS)) {
    const text = options[flag as keyof typeof OPTIONS]
    if (text !== undefined) change[name] = text === 'config' ? null : parseRate(text)
  }
  if (options.giveWay !== undefined) change.giveWayMs = parseGiveWay(options.giveWay)
  if (options.giveWayMin !== undefined)
    change.giveWayMinBytesPerSecond = options.giveWayMin === 'config' ? null : parseRate(options.giveWayMin)
  if (Object.keys(change).length === 0) {
    throw new MirrorError(
      'invalid',
      'name a cap to change: --wan-up, --wan-down, --region-up, --region-down, --give-way or --give-way-min',
    )
  }
  const document = await api.patch<LimitsAnswer>('/api/v1/limits', change, signal)
  await terminal.print(format(document, options.json === true))
}

async function schedule({ api, signal, terminal }: Context, options: ScheduleOptions): Promise<void> {
  const { window, timeZone, none, config, json } = options
  if ([window.length > 0, none === true, config === true].filter(Boolean).length !== 1) {
    throw new MirrorError('invalid', 'say one of --window, --none and --config')
  }
  const wanted =
    config === true
      ? null
      : { windows: window.map(parseWindow), ...(timeZone === undefined ? {} : { timeZone }) }
  const document = await api.patch<LimitsAnswer>('/api/v1/limits', { schedule: wanted }, signal)
  await terminal.print(format(document, json === true))
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}

function format(document: LimitsAnswer, isJson: boolean): string {
  if (isJson) return `${JSON.stringify(document, null, 2)}\n`
  const table = formatTable(
    [{ title: 'CAP' }, { title: 'NOW', align: 'right' }, { title: 'FROM' }],
    Object.entries(CAPS).map(([name, key]) => [
      name.replace('-', ' '),
      rate(document[key].value),
      originOf(document[key]),
    ]),
  )
  const parts = [table, formatGiveWay(document)]
  if (document.schedule !== null) parts.push(formatSchedule(document.schedule))
  return parts.join('\n')
}

function formatGiveWay({ giveWayMs, giveWayMinBytesPerSecond: min, paths }: LimitsAnswer): string {
  const least = giveWayMs.value === 0 ? '' : `; over each path ${rate(min.value)} at least`
  const lines = paths.map(({ site, peer, queueMs, bytesPerSecond, givesWay }) => {
    const bound = bytesPerSecond === null ? 'no bound now' : `${formatBytes(bytesPerSecond)}/s at most now`
    return `  to ${site ?? peer}: ${Math.round(queueMs)} ms of queue, ${bound}${givesWay ? ': others have the path' : ''}\n`
  })
  return `other traffic to other regions: ${giveWayText(giveWayMs)}${least}\n${lines.join('')}`
}

function rate(value: number): string {
  return value === 0 ? 'no cap' : `${formatBytes(value)}/s`
}

function originOf({ from, configured, otherwise }: Limit): string {
  if (from === 'schedule') return `schedule; else ${rate(otherwise)}`
  return from === 'config' ? 'config' : `set; config says ${rate(configured)}`
}

function formatSchedule({ timeZone, windows, from, active, untilMs }: ScheduleDocument): string {
  const until = untilMs === null ? '' : ` until ${formatTime(untilMs)}`
  return `schedule (${from}), by the clocks of ${timeZone}${active === null ? `; no window holds${until}` : ''}\n${windows
    .map(
      (each, i) =>
        `${i === active ? '*' : ' '} ${formatWindow(each)}${i === active ? `, now${until}` : ''}\n`,
    )
    .join('')}`
}
