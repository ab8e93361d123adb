/** `diff`: what changed from one snapshot to another. Equal parts are skipped by CID, so it reads little. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { DiffHeader, DiffLine } from '../../api/answers.ts'
import type { Context } from '../context.ts'
import { countOf } from '../quantity.ts'
import { createLineWriter } from '../terminal.ts'
import { parseTreeSpec } from '../tree-spec.ts'
import { treeUrl } from '../tree-url.ts'

export function define(command: Command, context: Context): void {
  command
    .argument('<TREE@A>', 'the older snapshot')
    .argument('[TREE@B]', 'the newer one; the head of the tree when left out')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nEach line is a letter and a path: + added, - removed, M content changed, m metadata only, T type changed.',
    )
    .action((a: string, b: string | undefined, options: { json?: boolean }) => diff(context, a, b, options))
}

async function diff(
  { api, terminal, signal }: Context,
  a: string,
  b: string | undefined,
  options: { json?: boolean },
): Promise<void> {
  const from = parseTreeSpec(a)
  const to = b === undefined ? { tree: from.tree } : parseTreeSpec(b)
  if (from.path !== undefined || ('path' in to && to.path !== undefined)) {
    throw new MirrorError('invalid', 'diff compares whole snapshots: leave the paths out')
  }
  const url = treeUrl(from, 'diff', {
    toTree: to.tree,
    ...('ref' in to && to.ref !== undefined ? { toRef: to.ref } : {}),
  })
  const writer = createLineWriter(terminal)
  let changes = 0
  for await (const line of api.lines<DiffHeader | DiffLine>(url, signal)) {
    if ('from' in line) {
      if (options.json === true) await writer.line(`${JSON.stringify(line).slice(0, -1)},"changes":[`)
      continue
    }
    if (options.json === true) await writer.line(`${changes === 0 ? '' : ','}${JSON.stringify(line)}`)
    // The root has no name of its own.
    else await writer.line(`${letterOf(line)} ${line.path || '.'}`)
    changes++
  }
  if (options.json === true) await writer.line(']}')
  await writer.end()
  if (options.json !== true && terminal.err.isTty) terminal.say(countOf(changes, 'change'))
}

function letterOf({ change, content }: DiffLine): string {
  if (change === 'changed') return content ? 'M' : 'm'
  return { added: '+', removed: '-', type: 'T' }[change]
}
