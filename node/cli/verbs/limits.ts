/** `limits`: what this site sends and receives at most, seen and changed while the daemon runs. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { Limit, LimitName, LimitsDocument } from '../../limits.ts'
import type { Context } from '../context.ts'
import { formatBytes } from '../quantity.ts'
import { formatTable } from '../table.ts'

interface SetOptions {
  readonly wanUp?: string
  readonly wanDown?: string
  readonly regionUp?: string
  readonly regionDown?: string
  readonly json?: boolean
}

const NAMES = {
  wanUp: 'wanUpBytesPerSecond',
  wanDown: 'wanDownBytesPerSecond',
  regionUp: 'regionUpBytesPerSecond',
  regionDown: 'regionDownBytesPerSecond',
} as const satisfies Record<string, LimitName>

export function define(command: Command, context: Context): void {
  command
    .command('show')
    .description('show the caps of this site, and where each comes from')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => show(context, options.json === true))
  command
    .command('set')
    .description('change caps at once; kept over restarts, and before config.yaml, until `config` is said')
    .option('--wan-up <RATE>', 'to other regions: bytes a second (500k, 20M), none, or config')
    .option('--wan-down <RATE>', 'from other regions')
    .option('--region-up <RATE>', 'to sites of this region')
    .option('--region-down <RATE>', 'from sites of this region')
    .option('--json', 'print the caps as JSON')
    .action((options: SetOptions) => set(context, options))
}

async function show({ api, signal, terminal }: Context, isJson: boolean): Promise<void> {
  await terminal.print(format(await api.get<LimitsDocument>('/api/v1/limits', signal), isJson))
}

async function set({ api, signal, terminal }: Context, options: SetOptions): Promise<void> {
  const change: Partial<Record<LimitName, number | null>> = {}
  for (const [flag, name] of Object.entries(NAMES)) {
    const text = options[flag as keyof typeof NAMES]
    if (text !== undefined) change[name] = parseRate(text)
  }
  if (Object.keys(change).length === 0) {
    throw new MirrorError(
      'invalid',
      'name a cap to change: --wan-up, --wan-down, --region-up or --region-down',
    )
  }
  const document = await api.patch<LimitsDocument>('/api/v1/limits', change, signal)
  await terminal.print(format(document, options.json === true))
}

/** Null: what config.yaml says. */
function parseRate(text: string): number | null {
  if (text === 'config') return null
  if (text === 'none') return 0
  const match = /^(\d{1,12})([kMG]?)$/.exec(text)
  const rate = Number(match?.[1]) * { '': 1, k: 1e3, M: 1e6, G: 1e9 }[match?.[2] as '' | 'k' | 'M' | 'G']
  if (match !== null && rate > 0) return rate
  throw new MirrorError(
    'invalid',
    `a cap is bytes a second like 500k or 20M, none, or config, not ${JSON.stringify(text)}`,
  )
}

function format(document: LimitsDocument, isJson: boolean): string {
  if (isJson) return `${JSON.stringify(document, null, 2)}\n`
  const rate = (value: number): string => (value === 0 ? 'no cap' : `${formatBytes(value)}/s`)
  const why = ({ from, configured }: Limit): string =>
    from === 'config' ? 'config' : `set; config says ${rate(configured)}`
  return formatTable(
    [{ title: 'CAP' }, { title: 'NOW', align: 'right' }, { title: 'FROM' }],
    Object.entries(document).map(([name, limit]) => [
      name.replace('BytesPerSecond', '').replace(/[A-Z]/, (letter) => ` ${letter.toLowerCase()}`),
      rate(limit.value),
      why(limit),
    ]),
  )
}
