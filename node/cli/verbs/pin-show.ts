/** `pin show`: one pin, and where verified copies are of the trees that it covers. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { matchesTree } from '../../../src/base/names.ts'
import type { CopiesStatus, StatusDocument } from '../../../src/replica/status/status.ts'
import type { PinDocument } from '../../api/answers.ts'
import { describeFilter } from '../../left-out.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../quantity.ts'
import { formatTable } from '../table.ts'

/** What `--json` adds: of each tree that the pin covers and has a head. */
export interface PinTree {
  readonly tree: string
  readonly sequence: number
  /** Verified ones, where a pin names a minimum. */
  readonly copies: CopiesStatus | null
}

export async function showPin(context: Context, name: string, isJson: boolean): Promise<void> {
  const { api, signal, terminal } = context
  const [{ pins }, status] = await Promise.all([
    api.get<{ pins: PinDocument[] }>('/api/v1/pins', signal),
    api.get<StatusDocument>('/api/v1/status', signal),
  ])
  const pin = pins.find((each) => each.name === name)
  if (pin === undefined)
    throw new MirrorError('not-found', `there is no pin ${name}`, { hint: `See: ${context.self} pin list` })
  const trees = status.trees.flatMap(({ tree, sequence, copies = null }): PinTree[] =>
    sequence === null || !matchesTree(pin.tree, tree) ? [] : [{ tree, sequence, copies }],
  )
  await terminal.print(
    isJson
      ? `${JSON.stringify({ ...pin, trees }, null, 2)}\n`
      : `${linesOf(pin).join('\n')}\n${tableOf(trees)}`,
  )
}

function linesOf(pin: PinDocument): string[] {
  const { last, days } = pin.keep ?? {}
  const keep = [
    ...(last === undefined ? [] : [`last ${last}`]),
    ...(days === undefined ? [] : [`${days} days`]),
  ]
  const rows: [string, string][] = [
    ['check-out', pin.checkout ?? '-'],
    ...(pin.versions === undefined ? [] : [['versions', String(pin.versions)] as [string, string]]),
    ['keep', keep.join(', ') || "as the sites' settings say"],
    ['copies', copiesText(pin)],
    ['priority', `${pin.priority ?? 5}${pin.class === undefined ? '' : ` ${pin.class}`}`],
    ['paths', pin.paths === undefined ? 'all' : describeFilter([pin.paths])],
  ]
  return [`pin ${pin.name}`, ...rows.map(([title, text]) => `  ${title.padEnd(9)} ${text}`)]
}

/** Verified ones of those wanted; of several trees the one that has the fewest. */
export function copiesText({ tree, copies, fewest }: PinDocument): string {
  if (copies === undefined) return '-'
  if (fewest === undefined) return `0 of ${copies}`
  return `${fewest.verified} of ${copies}${fewest.tree === tree ? '' : ` (${fewest.tree})`}`
}

function tableOf(trees: readonly PinTree[]): string {
  const rows = trees.flatMap(({ tree, sequence, copies }) => {
    const head = [tree, `@${sequence}`]
    const sites = copies?.sites ?? []
    if (sites.length === 0) return [[...head, copies === null ? '-' : 'none yet', '-', '-', '-']]
    return sites.map((each, i) => [
      ...(i === 0 ? head : ['', '']),
      ...[each.site, `@${each.sequence}`, formatTime(each.timeMs), each.by],
    ])
  })
  if (rows.length === 0) return ''
  const titles = ['TREE', 'HEAD', 'VERIFIED COPY AT', 'OF', 'SHOWN', 'TO']
  return `\n${formatTable(
    titles.map((title) => ({ title })),
    rows,
  )}`
}

export function defineShow(
  command: Command,
  action: (tree: string, options: { json?: boolean }) => Promise<void>,
): void {
  command
    .description('show one pin, and where verified copies are of what it covers')
    .argument('<TREE>', 'as it was given to pin add')
    .option('--json', 'print it as JSON')
    .action(action)
}
