/** `tree takedown`: an admin has snapshots, or all that have a path, taken off every site. */
import type { Command } from 'commander'
import { compareBytes } from '../../../src/base/bytes.ts'
import { MirrorError } from '../../../src/base/errors.ts'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { TakedownPlan } from '../../api/routes/takedown-routes.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'
import { countOf, formatTime } from '../quantity.ts'
import { formatTable } from '../table.ts'
import { parseTreeSpec } from '../tree-spec.ts'
import { treeUrl } from '../tree-url.ts'

interface Options {
  readonly path?: string
  readonly reason?: string
  readonly lift?: boolean
  readonly list?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

const MAX_REASON_CHARACTERS = 256

export function define(command: Command, context: Context): void {
  command
    .command('takedown')
    .description(
      'have every site stop serving a snapshot and remove it, such as one with a leaked file; status tells who has (signed by an admin)',
    )
    .argument('<TREE[@SEQUENCE]>', 'the snapshot; with --path, the tree')
    .option('--path <PATH>', 'all snapshots until now that have this path')
    .option(
      '--reason <TEXT>',
      'why; everybody sees it. With --lift what was said before stays, where this is left out',
    )
    .option('--lift', 'end a takedown: what is still somewhere may be fetched again')
    .option('--list', 'list the takedowns of TREE, and the sites that have carried them out')
    .option('--yes', 'do not ask')
    .option('--json', 'print what was done as JSON')
    .action((spec: string, options: Options) =>
      options.list === true ? list(context, spec, options) : takeDown(context, spec, options),
    )
}

async function takeDown(context: Context, text: string, options: Options): Promise<void> {
  const { api, signal, terminal, self } = context
  const spec = parseTreeSpec(text)
  const path = options.path?.replace(/^\/+|\/+$/g, '')
  if ((spec.ref === undefined) === (path === undefined)) {
    throw new MirrorError('invalid', 'name one snapshot as TREE@SEQUENCE, or a tree and --path PATH')
  }
  const isLift = options.lift === true
  const given = options.reason?.trim() ?? (isLift ? undefined : '')
  if (given === '' || (given?.length ?? 0) > MAX_REASON_CHARACTERS)
    throw new MirrorError('invalid', `--reason is a text of 1 to ${MAX_REASON_CHARACTERS} characters`)
  const [{ loadAdminKey, signAndSubmit }, { parseCid }] = await Promise.all([
    import('../sign.ts'),
    import('../../../src/block/cid.ts'),
  ])
  const admin = await loadAdminKey(context)
  const plan = await api.get<TakedownPlan>(
    `${treeUrl({ tree: spec.tree }, 'takedown')}?${new URLSearchParams(path === undefined ? { ref: spec.ref! } : { path })}`,
    signal,
  )
  const before = isLift ? await reasonBefore(context, plan.name) : ''
  const reason = given ?? before
  const what = `${spec.tree} ${plan.sequences.map((sequence) => `@${sequence}`).join(', ')}`
  if (isLift) terminal.say(`${what} may be fetched again from where it still is.`)
  else {
    terminal.say(
      `${what} ${plan.sequences.length === 1 ? 'goes' : 'go'} from every site, check-outs of pins included.`,
    )
    terminal.say(
      plan.standing === null
        ? 'Nothing is left of the tree then, until its publisher publishes again.'
        : `Sites go back to @${plan.standing} until something newer is published.`,
    )
    terminal.say(
      'Copies that people made are not touched, and nothing takes bytes back from a site that is not ours any more.',
    )
  }
  await confirm(
    context,
    isLift ? `Lift the takedown of ${plan.name}?` : `Take ${plan.name} down?`,
    options.yes === true,
  )
  const record = await signAndSubmit(context, admin, 'takedown', {
    name: plan.name,
    tree: spec.tree,
    snapshots: plan.snapshots.map((each) => parseCid(each)).sort((a, b) => compareBytes(a.bytes, b.bytes)),
    path: plan.path,
    through: plan.through,
    reason,
    version: plan.version,
    removed: isLift,
  })
  await terminal.print(
    options.json === true
      ? `${JSON.stringify({ ...plan, reason, lifted: isLift, record: record.toString() }, null, 2)}\n`
      : isLift
        ? `the takedown of ${plan.name} is lifted\n`
        : `${plan.name} is taken down; which sites have done so: ${self} tree takedown ${spec.tree} --list\n`,
  )
}

/** Of the takedown that is to be lifted: there has to be one. */
async function reasonBefore({ api, signal, self }: Context, name: string): Promise<string> {
  const { takedowns = [] } = await api.get<StatusDocument>('/api/v1/status', signal)
  const found = takedowns.find((each) => each.name === name)
  if (found !== undefined) return found.reason
  throw new MirrorError('not-found', `${name} is not taken down`, {
    hint: `What is: ${self} tree takedown TREE --list`,
  })
}

async function list(context: Context, text: string, { json }: Options): Promise<void> {
  const { tree } = parseTreeSpec(text)
  const status = await context.api.get<StatusDocument>('/api/v1/status', context.signal)
  const takedowns = (status.takedowns ?? []).filter((each) => each.tree === tree)
  if (json === true) {
    await context.terminal.print(`${JSON.stringify({ takedowns }, null, 2)}\n`)
    return
  }
  const at = (sites: (typeof takedowns)[number]['sites'], state: string): string =>
    sites
      .filter((each) => each.state === state)
      .map(({ site }) => site)
      .join(' ') || '-'
  await context.terminal.print(
    takedowns.length === 0
      ? `${countOf(0, 'takedown')} of ${tree}\n`
      : formatTable(
          [
            { title: 'WHAT' },
            { title: 'SINCE' },
            { title: 'REASON' },
            { title: 'DONE AT' },
            { title: 'NOT YET' },
            { title: 'UNKNOWN' },
          ],
          takedowns.map(({ name, timeMs, reason, sites }) => [
            name,
            formatTime(timeMs),
            reason,
            at(sites, 'done'),
            at(sites, 'pending'),
            at(sites, 'unknown'),
          ]),
        ),
  )
}
