/** `tree delete`: an admin's record that a tree is no more. */
import type { Command } from 'commander'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { TreeDocument } from '../../api/answers.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'
import { countOf, formatBytes } from '../quantity.ts'
import { nameOfTree } from '../tree-spec.ts'
import { treeUrl } from '../tree-url.ts'

export function define(command: Command, context: Context): void {
  command
    .command('delete')
    .description(
      'take a tree out of the mesh: nobody fetches it any more, and sites collect what they hold (signed by an admin)',
    )
    .argument('<TREE>', 'its name')
    .option('--yes', 'do not ask')
    .option('--json', 'print what was done as JSON')
    .action((tree: string, options: { yes?: boolean; json?: boolean }) => remove(context, tree, options))
}

async function remove(
  context: Context,
  text: string,
  { yes, json }: { yes?: boolean; json?: boolean },
): Promise<void> {
  const { api, signal, terminal, self } = context
  const name = nameOfTree(text)
  const [tree, status] = await Promise.all([
    api.get<TreeDocument>(treeUrl({ tree: name }, ''), signal),
    api.get<StatusDocument>('/api/v1/status', signal),
  ])
  const sites = status.trees.find((each) => each.tree === name)?.sites ?? []
  const size = tree.head?.bytes
  terminal.say(
    `${name}${size == null ? '' : `, ${formatBytes(size)}`}, kept at ${countOf(sites.length, 'site')}: ${sites.map(({ site }) => site).join(', ') || 'none'}`,
  )
  terminal.say(
    'What sites hold of it is collected after keepUnpinnedDays (7 by default); check-outs stay as they are.',
  )
  await confirm(context, `Take ${name} out of the mesh?`, yes === true)
  const record = await signDeletion(context, tree)
  await terminal.print(
    json === true
      ? `${JSON.stringify({ tree: name, removed: true, record }, null, 2)}\n`
      : `${name} deleted; ${self} tree create ${name} brings it back with its history\n`,
  )
}

/** Returns the CID of the record. */
export async function signDeletion(context: Context, tree: TreeDocument): Promise<string> {
  const [{ loadAdminKey, nextVersion, signAndSubmit }, { bodyOfTree }] = await Promise.all([
    import('../sign.ts'),
    import('../tree-body.ts'),
  ])
  const id = await signAndSubmit(context, await loadAdminKey(context), 'tree', {
    ...bodyOfTree(tree, await nextVersion(context, { kind: 'tree', name: tree.tree })),
    removed: true,
  })
  return id.toString()
}
