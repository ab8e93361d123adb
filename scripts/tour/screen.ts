/** What the tour shows while it works: sentences, progress bars on a terminal (a line each ten seconds elsewhere), tables. All on stderr but the last. */

const isTerminal = process.stderr.isTTY === true
const LINE_EVERY_MS = 10_000
const BAR_WIDTH = 24
let drawnLines = 0
let lastLineMs = Number.NEGATIVE_INFINITY

export interface Bar {
  readonly label: string
  /** 0 to 1. */
  readonly done: number
  readonly note: string
}

export function say(sentence: string): void {
  eraseBars()
  process.stderr.write(`${sentence}\n`)
}

export function drawBars(bars: readonly Bar[]): void {
  if (!isTerminal) {
    if (performance.now() - lastLineMs < LINE_EVERY_MS) return
    lastLineMs = performance.now()
    process.stderr.write(
      `  ${bars.map(({ label, done, note }) => `${label} ${Math.floor(done * 100)} % ${note}`).join(', ')}\n`,
    )
    return
  }
  eraseBars()
  for (const { label, done, note } of bars) {
    const filled = Math.round(Math.min(1, Math.max(0, done)) * BAR_WIDTH)
    const bar = '#'.repeat(filled).padEnd(BAR_WIDTH, '.')
    process.stderr.write(
      `  ${label.padEnd(8)} [${bar}] ${`${Math.floor(done * 100)}`.padStart(3)} %  ${note}\n`,
    )
  }
  drawnLines = bars.length
}

/** Removes the bars, so that what follows starts on a clean line. */
export function eraseBars(): void {
  if (isTerminal && drawnLines > 0) process.stderr.write(`\x1b[${drawnLines}A\x1b[J`)
  drawnLines = 0
}

/** Left column as it is, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  )
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
        .join('   ')
        .trimEnd(),
    )
    .join('\n')
}

export function mega(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e6 ? 3 : 1)} MB`
}
