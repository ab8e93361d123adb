/** `tag`: a record of an admin or an operator that points a name at a snapshot of a tree, or takes the name away. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { checkSegment } from '../../../src/base/names.ts'
import type { SnapshotPlace, TreeDocument } from '../../api/answers.ts'
import { type AsNode, withAsNode } from '../as-node-option.ts'
import type { Context } from '../context.ts'
import { parseTreeSpec } from '../tree-spec.ts'
import { treeUrl } from '../tree-url.ts'

export function define(command: Command, context: Context): void {
  withAsNode(command)
    .argument('<TREE[@SEQUENCE]>', 'the snapshot; the head when no sequence is given')
    .argument('<TAG>', 'the name, for example ga; what is tagged latest is what the gateway serves')
    .option('--remove', 'take the tag away from TREE')
    .option('--json', 'print the tag as JSON')
    .action((spec: string, name: string, options: { remove?: boolean; json?: boolean } & AsNode) =>
      tag(context, spec, name, options),
    )
}

async function tag(
  context: Context,
  text: string,
  name: string,
  options: { remove?: boolean; json?: boolean } & AsNode,
): Promise<void> {
  const { api, signal, terminal } = context
  const spec = parseTreeSpec(text)
  checkSegment(name, 'a tag')
  if (/^\d+$/.test(name)) throw new MirrorError('invalid', `a tag cannot be a number: ${name} is a sequence`)
  if (name === 'head')
    throw new MirrorError('invalid', 'a tag cannot be called head: that is always the newest')
  const isRemoved = options.remove === true
  const place = isRemoved ? await placeOfTag() : await placeOf()
  await signTag(context, { tree: spec.tree, tag: name, ...place, isRemoved }, options)
  const { tree, sequence, snapshot } = { tree: spec.tree, ...place }
  const document = { tree, tag: name, sequence, snapshot, removed: options.remove === true }
  if (options.json === true) await terminal.print(`${JSON.stringify(document, null, 2)}\n`)
  else
    await terminal.print(
      options.remove === true ? `${tree}: no tag ${name} any more\n` : `${tree}@${name} is @${sequence}\n`,
    )

  async function placeOf(): Promise<{ sequence: number; snapshot: string }> {
    const { sequence, snapshot } = await api.get<SnapshotPlace>(treeUrl(spec, 'place'), signal)
    return { sequence, snapshot }
  }
  async function placeOfTag(): Promise<{ sequence: number; snapshot: string }> {
    const { tags } = await api.get<TreeDocument>(treeUrl({ tree: spec.tree }, ''), signal)
    const found = tags.find((each) => each.tag === name)
    if (found === undefined) throw new MirrorError('not-found', `${spec.tree} has no tag ${name}`)
    return found
  }
}

export async function signTag(
  context: Context,
  of: {
    readonly tree: string
    readonly tag: string
    readonly sequence: number
    readonly snapshot: string
    readonly isRemoved: boolean
  },
  signer: AsNode = {},
): Promise<void> {
  const [{ nextVersion, signAsAdminOrNode }, { parseCid }] = await Promise.all([
    import('../sign.ts'),
    import('../../../src/block/cid.ts'),
  ])
  const body = {
    tree: of.tree,
    tag: of.tag,
    snapshot: parseCid(of.snapshot),
    sequence: of.sequence,
    version: await nextVersion(context, { kind: 'tag', name: of.tag, tree: of.tree }),
    removed: of.isRemoved,
  }
  await signAsAdminOrNode(context, 'tag', body, signer)
}
