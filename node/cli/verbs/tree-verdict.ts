/** `tree pending`, `tree accept`, `tree reject`: what a publisher's node held back for what it drops, and an admin's verdict on it. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { describeHeldBack } from '../../../src/replica/status/held-back-status.ts'
import type { HeldBackStatus, StatusDocument } from '../../../src/replica/status/status.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'
import { formatBytes, formatCount, formatTime } from '../quantity.ts'
import { nameOfTree } from '../tree-spec.ts'

interface Options {
  readonly json?: boolean
  readonly yes?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .command('pending')
    .description('show what a publisher holds back of a tree because it drops much, and what it would drop')
    .argument('<TREE>', 'its name')
    .option('--json', 'print it as JSON')
    .action((tree: string, options: Options) => show(context, tree, options))
  for (const [verb, description] of [
    ['accept', 'have the publisher of a tree publish what it holds back (signed by an admin)'],
    ['reject', 'have the publisher of a tree let go of what it holds back (signed by an admin)'],
  ] as const) {
    command
      .command(verb)
      .description(description)
      .argument('<TREE>', 'its name')
      .option('--yes', 'do not ask')
      .option('--json', 'print what was done as JSON')
      .action((tree: string, options: Options) => decide(context, tree, verb === 'accept', options))
  }
}

async function findHeldBack(context: Context, tree: string): Promise<HeldBackStatus | undefined> {
  const status = await context.api.get<StatusDocument>('/api/v1/status', context.signal)
  const found = status.trees.find((each) => each.tree === tree)
  if (found !== undefined) return found.heldBack
  throw new MirrorError('not-found', `the mesh has no tree ${JSON.stringify(tree)}`, {
    hint: 'See: mirrormesh tree list',
  })
}

async function show(context: Context, text: string, { json }: Options): Promise<void> {
  const { terminal, self } = context
  const tree = nameOfTree(text)
  const held = await findHeldBack(context, tree)
  if (json === true) {
    await terminal.print(`${JSON.stringify({ tree, pending: held ?? null }, null, 2)}\n`)
    return
  }
  await terminal.print(held === undefined ? `nothing is held back of ${tree}\n` : describe(tree, held, self))
}

function describe(tree: string, held: HeldBackStatus, self: string): string {
  const before = (count: number | null, format: (count: number) => string): string =>
    count === null ? 'unknown' : format(count)
  const lines = [
    `tree      ${tree}, held back at ${held.site} since ${formatTime(held.sinceMs)}, until ${formatTime(held.expiresMs)}`,
    `snapshot  ${held.snapshot}`,
    `files     ${before(held.filesBefore, formatCount)} in @${held.sequence}, ${formatCount(held.files)} in this`,
    `size      ${before(held.bytesBefore, formatBytes)} in @${held.sequence}, ${formatBytes(held.bytes)} in this`,
    ...(held.problem === undefined ? [] : [`accepted, and not published: ${held.problem}`]),
    `What is gone, at ${held.site}: ${self} diff ${tree}@${held.sequence} ${tree}@pending`,
    `An admin decides: ${self} tree accept ${tree}, or: ${self} tree reject ${tree}`,
  ]
  return `${lines.join('\n')}\n`
}

async function decide(
  context: Context,
  text: string,
  accepted: boolean,
  { json, yes }: Options,
): Promise<void> {
  const { terminal } = context
  const tree = nameOfTree(text)
  const [{ loadAdminKey, nextVersion, signAndSubmit }, { parseCid }] = await Promise.all([
    import('../sign.ts'),
    import('../../../src/block/cid.ts'),
  ])
  const admin = await loadAdminKey(context)
  const held = await findHeldBack(context, tree)
  if (held === undefined)
    throw new MirrorError('not-found', `nothing is held back of ${tree} that this node has heard of`, {
      hint: 'It may have been published, rejected or run out meanwhile. See: mirrormesh tree history.',
    })
  terminal.say(`Of ${tree}, ${describeHeldBack(held)}.`)
  await confirm(context, accepted ? 'Publish it all the same?' : 'Let go of it?', yes === true)
  const record = await signAndSubmit(context, admin, 'verdict', {
    tree,
    previous: parseCid(held.previous),
    snapshot: parseCid(held.snapshot),
    accepted,
    version: await nextVersion(context, { kind: 'verdict', name: tree }),
  })
  await terminal.print(
    json === true
      ? `${JSON.stringify({ tree, accepted, ...held, record: record.toString() }, null, 2)}\n`
      : accepted
        ? `${tree}: accepted; ${held.site} publishes it as @${held.sequence + 1}\n`
        : `${tree}: rejected; ${held.site} lets go of it\n`,
  )
}
