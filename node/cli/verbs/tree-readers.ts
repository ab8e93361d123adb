/** `tree readers`: who may read a tree, and an admin's record that changes it. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { TreeReaders } from '../../../src/record/kinds/tree.ts'
import type { TreeDocument } from '../../api/answers.ts'
import type { Context } from '../context.ts'
import { nameOfTree } from '../tree-spec.ts'
import { treeUrl } from '../tree-url.ts'

export function define(command: Command, context: Context): void {
  command
    .command('readers')
    .description('say who may read a tree from now on (signed by an admin)')
    .argument('<TREE>', 'its name')
    .argument('<WHO>', "members: all of them; granted: its publishers and members with a reader's grant")
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nWhat a site has of a tree that becomes private stays on its disks.')
    .action((tree: string, who: string, options: { json?: boolean }) => change(context, tree, who, options))
}

async function change(
  context: Context,
  text: string,
  who: string,
  { json }: { json?: boolean },
): Promise<void> {
  const { api, signal, terminal } = context
  if (who !== 'members' && who !== 'granted')
    throw new MirrorError('invalid', `readers are members or granted, not ${JSON.stringify(who)}`)
  const tree = await api.get<TreeDocument>(treeUrl({ tree: nameOfTree(text) }, ''), signal)
  if (tree.readers !== who) await signReaders(context, tree, who)
  await terminal.print(
    json === true
      ? `${JSON.stringify({ tree: tree.tree, readers: who }, null, 2)}\n`
      : `${tree.tree}: ${who === 'granted' ? "its publishers and members with a reader's grant read it" : 'every member reads it'}\n`,
  )
}

export async function signReaders(
  context: Context,
  { tree, publishers }: Pick<TreeDocument, 'publishers' | 'tree'>,
  readers: TreeReaders,
): Promise<void> {
  const [{ loadAdminKey, nextVersion, signAndSubmit }, { publicKeyOf }] = await Promise.all([
    import('../sign.ts'),
    import('../../../src/record/key.ts'),
  ])
  await signAndSubmit(context, await loadAdminKey(context), 'tree', {
    name: tree,
    readers,
    publishers: publishers.map((each) => publicKeyOf(each)),
    version: await nextVersion(context, { kind: 'tree', name: tree }),
    removed: false,
  })
}
