/** The bench document as the tables of docs/benchmarks.md. */

export interface ProgramFigures {
  readonly seconds: number
  readonly MBps: number
  readonly filesPerSecond: number
  /** Its seconds divided by those of mirrormesh, the median over the rounds. */
  readonly ratio: number
  readonly cpuSeconds?: number
  readonly peakMB?: number
}

/** By program; the first is mirrormesh. */
export type Figures = Readonly<Record<string, ProgramFigures>>

export interface TreeFigures {
  readonly import: Figures
  readonly checkout: Figures
}

export interface TransferFigures {
  readonly MBps: number
  readonly clientCpuSecondsPerGB: number
  readonly serverCpuSecondsPerGB: number
  readonly peakMB: number
}

export interface BenchDocument {
  readonly machine: Readonly<Record<string, string | number>>
  readonly rounds: number
  large?: TreeFigures & { readonly files: number; readonly bytes: number }
  small?: TreeFigures & { readonly files: number; readonly bytes: number }
  transfer?: Readonly<Record<string, TransferFigures>>
}

export function asMarkdown({ machine, rounds, large, small, transfer }: BenchDocument): string {
  const facts = Object.entries(machine).map(([name, value]) => `${name} ${value}`)
  const parts = [`Medians of ${rounds} rounds; ${facts.join(', ')}.`]
  for (const [name, tree] of [
    ['One large file', large],
    ['Many small files', small],
  ] as const) {
    if (tree === undefined) continue
    const size = `${tree.files} ${tree.files === 1 ? 'file' : 'files'}, ${Math.round(tree.bytes / 1e6)} MB`
    parts.push(`### ${name} (${size})`, programs(tree.import), programs(tree.checkout))
  }
  if (transfer !== undefined) {
    const rows = Object.entries(transfer).map(([security, of]) => [
      security,
      `${of.MBps}`,
      `${of.clientCpuSecondsPerGB}`,
      `${of.serverCpuSecondsPerGB}`,
      `${of.peakMB}`,
    ])
    const head = ['between two processes', 'MB/s', 'CPU s/GB, client', 'CPU s/GB, server', 'peak MB']
    parts.push('### Block transfer', table(head, rows))
  }
  return `${parts.join('\n\n')}\n`
}

function programs(figures: Figures): string {
  const rows = Object.entries(figures).map(([program, of]) => [
    program,
    `${of.seconds}`,
    `${of.MBps}`,
    `${of.filesPerSecond}`,
    `${of.ratio}`,
    `${of.cpuSeconds ?? ''}`,
    `${of.peakMB ?? ''}`,
  ])
  return table(['program', 'seconds', 'MB/s', 'files/s', 'ratio', 'CPU s', 'peak MB'], rows)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map((_, column) => (column === 0 ? '---' : '---:')), ...rows]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n')
}
