/** The bench document, and its tables in docs/benchmarks.md. */

export interface ProgramFigures {
  readonly seconds: number
  readonly MBps: number
  readonly filesPerSecond: number
  /** Its seconds divided by those of the first program, mirrormesh: the median over the rounds. */
  readonly ratio: number
  readonly cpuSeconds: number
  readonly peakMB: number
  readonly writtenMB: number
}

export interface ContestFigures {
  readonly part: string
  readonly source: string
  readonly files: number
  readonly bytes: number
  /** Files that an update changes. */
  readonly changed?: number
  /** By name; the first is mirrormesh. */
  readonly programs: Readonly<Record<string, ProgramFigures>>
}

export interface DiskFigures {
  readonly source: string
  readonly compression: string
  readonly treeMB: number
  /** Of the store alone, then of store and check-out. */
  readonly storeMB: number
  readonly siteMB: number
  readonly ratio: number
}

export interface TransferFigures {
  readonly MBps: number
  readonly clientCpuSecondsPerGB: number
  readonly serverCpuSecondsPerGB: number
  readonly peakMB: number
}

export interface PlaceFigures {
  readonly fileSystem: string
  readonly contests: readonly ContestFigures[]
  readonly disk: readonly DiskFigures[]
}

export interface BenchDocument {
  readonly machine: Readonly<Record<string, string | number>>
  readonly rounds: number
  /** Programs that are not installed, and so not measured. */
  readonly missing: readonly string[]
  readonly places: readonly PlaceFigures[]
  readonly transfer?: Readonly<Record<string, TransferFigures>>
}

export function asMarkdown({ machine, rounds, missing, places, transfer }: BenchDocument): string {
  const facts = Object.entries(machine).map(([name, value]) => `${name} ${value}`)
  const parts = [`Medians of ${rounds} rounds; ${facts.join(', ')}.`]
  if (missing.length > 0) parts.push(`Not installed, so not measured: ${missing.join(', ')}.`)
  for (const { fileSystem, contests, disk } of places) {
    for (const contest of contests)
      parts.push(`### ${heading(contest)}, on ${fileSystem}`, programs(contest.programs))
    if (disk.length > 0) parts.push(`### Disk use, on ${fileSystem}`, diskTable(disk))
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

function heading({ part, source, files, bytes, changed }: ContestFigures): string {
  const size = `${files} ${files === 1 ? 'file' : 'files'}, ${Math.round(bytes / 1e6)} MB`
  const title = `${part[0]!.toUpperCase()}${part.slice(1)}, ${source}`
  return `${title} (${size}${changed === undefined ? '' : `, ${changed} changed`})`
}

function programs(figures: ContestFigures['programs']): string {
  const rows = Object.entries(figures).map(([program, of]) => [
    program,
    rounded(of.seconds, 2),
    `${of.MBps}`,
    `${of.filesPerSecond}`,
    rounded(of.ratio, 2),
    rounded(of.cpuSeconds, 2),
    `${of.peakMB}`,
    `${of.writtenMB}`,
  ])
  return table(['program', 'seconds', 'MB/s', 'files/s', 'ratio', 'CPU s', 'peak MB', 'written MB'], rows)
}

function diskTable(figures: readonly DiskFigures[]): string {
  return table(
    ['tree', 'compression', 'tree, MB', 'store, MB', 'store and check-out, MB', '/ tree'],
    figures.map(({ source, compression, treeMB, storeMB, siteMB, ratio }) => [
      ...[source, compression],
      ...[treeMB, storeMB, siteMB].map((size) => rounded(size, 1)),
      rounded(ratio, 2),
    ]),
  )
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map((_, column) => (column === 0 ? '---' : '---:')), ...rows]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n')
}

export function rounded(value: number, digits: number): string {
  return value.toFixed(digits)
}
