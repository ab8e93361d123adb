/**
 * Plain tables: columns padded to their widest cell, two spaces between, no trailing blanks. A cell stays in its line, whatever
 * somebody wrote there.
 */
import { printableText } from '../../src/base/bytes.ts'

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
}

export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printableText))
  const widths = columns.map((column, i) =>
    cells.reduce((widest, row) => Math.max(widest, width(row[i] ?? '')), width(column.title)),
  )
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => pad(cell, widths[i] ?? 0, columns[i]?.align ?? 'left'))
      .join('  ')
      .trimEnd()
  return [line(columns.map((column) => column.title)), ...cells.map(line)].map((text) => `${text}\n`).join('')
}

function pad(text: string, to: number, align: 'left' | 'right'): string {
  const blanks = ' '.repeat(Math.max(0, to - width(text)))
  return align === 'left' ? text + blanks : blanks + text
}

function width(text: string): number {
  return [...text].length
}

/** The shortest prefix, of 8 characters or more after `skip`, that tells these ids apart. */
export function shortIds(ids: readonly string[], skip = 0): (id: string) => string {
  let length = 8
  const distinct = new Set(ids)
  while (length < 64 && new Set([...distinct].map((id) => id.slice(0, skip + length))).size < distinct.size) {
    length++
  }
  return (id) => id.slice(0, skip + length)
}
