/** Prints the lines of a diff as they arrive. */
import type { DiffHeader, DiffLine } from '../api/answers.ts'
import type { Context } from './context.ts'
import { createLineWriter } from './terminal.ts'

export type DiffFormat = 'letters' | 'items' | 'json'

/** Returns the number of changes. */
export async function printChanges(
  { api, terminal, signal }: Context,
  url: string,
  format: DiffFormat,
): Promise<number> {
  const writer = createLineWriter(terminal)
  let changes = 0
  for await (const line of api.lines<DiffHeader | DiffLine>(url, signal)) {
    if ('from' in line) {
      if (format === 'json') await writer.line(`${JSON.stringify(line).slice(0, -1)},"changes":[`)
      continue
    }
    if (format === 'json') await writer.line(`${changes === 0 ? '' : ','}${JSON.stringify(line)}`)
    else if (format === 'items') await writer.line(itemLine(line))
    // The root has no name of its own.
    else await writer.line(`${letterOf(line)} ${line.path || '.'}`)
    changes++
  }
  if (format === 'json') await writer.line(']}')
  await writer.end()
  return changes
}

export const ITEMS_HELP = `
With --itemize each line is eleven characters and a path, like those of rsync:
  1     > new or changed content of a file, c made or changed otherwise, . only metadata differs
  2     f file, d directory, L symbolic link, S anything else
  3-9   c bytes or target (seen by hash), s size, t time, p mode, o owner, g group, h hard links
  10    always .
  11    x extended attributes, or anything else
A new entry has + in 3 to 11; *deleting stands before what is gone.`

/** As rsync prints it: a slash after a directory, an arrow before a link's target. */
function itemLine({ items, path, type, target }: DiffLine): string {
  const tail = type === 'directory' ? '/' : target === undefined ? '' : ` -> ${target}`
  return `${items} ${path || '.'}${tail}`
}

function letterOf({ change, content }: DiffLine): string {
  if (change === 'changed') return content ? 'M' : 'm'
  return { added: '+', removed: '-', type: 'T' }[change]
}
