/** `pin`: which sites keep which trees, said by a record of an admin or an operator. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { checkSegment, isTreePattern } from '../../../src/base/names.ts'
import type { PathRule } from '../../../src/base/path-filter.ts'
import type { PinBody, PinKeep, PinSites } from '../../../src/record/kinds/pin.ts'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { PinDocument } from '../../api/answers.ts'
import { describeFilter } from '../../left-out.ts'
import { type AsNode, withAsNode } from '../as-node-option.ts'
import type { Context } from '../context.ts'
import { readCopies, readKeepDays, readKeepLast, readPriority } from '../keep-option.ts'
import { readFilterPath } from '../path-option.ts'
import { covers, keepText, sayWhenReplaced, sayWhenTooFew, sayWhenUnknown } from '../pin-notes.ts'
import { formatTable } from '../table.ts'
import { readVersions } from '../versions-option.ts'
import { copiesText, defineShow, showPin } from './pin-show.ts'

interface Where {
  readonly site?: string
  readonly label?: string
  readonly region?: string
  readonly all?: boolean
}

interface Placement extends Where {
  readonly checkout?: string
  readonly versions?: number
  readonly keepLast?: number
  readonly keepDays?: number
  readonly minCopies?: number
  readonly priority?: number
  readonly urgent?: boolean
  readonly path?: string[]
  readonly excludePath?: string[]
}

export function define(command: Command, context: Context): void {
  withAsNode(
    withPlacement(
      command
        .command('add')
        .description('have sites keep a tree, and follow its head')
        .argument('<TREE>', 'a tree, or a pattern: * within a segment, ** for any segments'),
    ),
  )
    .addHelpText(
      'after',
      '\nWithout --keep-last and --keep-days each site keeps as many as its keepSnapshots says.',
    )
    .action((tree: string, options: Placement & AsNode) => add(context, tree, options))
  command
    .command('list')
    .description('list the pins')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => list(context, options))
  defineShow(withWhere(command.command('show')), (tree: string, options: Where & { json?: boolean }) =>
    show(context, tree, options),
  )
  withAsNode(
    withWhere(
      command
        .command('remove')
        .description('take a pin away; what the sites hold stays until it is collected')
        .argument('<TREE>', 'as it was given to pin add'),
    ),
  ).action((tree: string, options: Where & AsNode) => remove(context, tree, options))
  withPlacement(
    command
      .command('plan')
      .description('say what pin add, or pin remove, would set in motion, and change nothing')
      .argument('<TREE>', 'as for pin add'),
  )
    .option('--remove', 'what taking the pin away would do')
    .option('--json', 'print the plan as JSON')
    .action((tree: string, options: Placement & { remove?: boolean; json?: boolean }) =>
      plan(context, tree, options),
    )
  withAsNode(
    command
      .command('apply')
      .description('do what pin plan has shown; refused (8) when the mesh has changed since'),
  )
    .requiredOption('--plan <ID>', 'as pin plan printed it')
    .option('--json', 'print the plan that was applied as JSON')
    .action(async (options: { plan: string; json?: boolean } & AsNode) => {
      const { applyPinPlan } = await import('../pin-plan.ts')
      await applyPinPlan(context, options)
    })
}

async function plan(
  context: Context,
  tree: string,
  { remove: isRemoval, json, ...options }: Placement & { remove?: boolean; json?: boolean },
): Promise<void> {
  const { showPinPlan } = await import('../pin-plan.ts')
  const change = { tree: checkPattern(tree), sites: sitesOf(options) }
  const settings = isRemoval === true ? {} : settingsOf(options)
  await showPinPlan(context, { ...change, ...settings, removed: isRemoval === true }, json === true)
}

/** What a pin says beside the tree and the sites, checked. */
function settingsOf(options: Placement): Omit<PinSettings, 'removed'> {
  const { checkout, versions } = options
  if (versions !== undefined && checkout === undefined) {
    throw new MirrorError('invalid', '--versions needs --checkout PATH, the folder that they are to lie in')
  }
  if (
    checkout !== undefined &&
    (!checkout.startsWith('/') || checkout.split('/').some((part) => part === '..' || part === '.'))
  ) {
    throw new MirrorError('invalid', `--checkout is an absolute path, the same at each site, not ${checkout}`)
  }
  return {
    ...(checkout === undefined ? {} : { checkout }),
    ...(versions === undefined ? {} : { versions }),
    ...keepOf(options),
    ...pathsOf(options),
    ...(options.minCopies === undefined ? {} : { copies: options.minCopies }),
    ...(options.priority === undefined ? {} : { priority: options.priority }),
    ...(options.urgent === true ? { class: 'urgent' as const } : {}),
  }
}

function withPlacement(command: Command): Command {
  return withWhere(command)
    .option(
      '--checkout <PATH>',
      'each of these sites also keeps the newest snapshot as plain files there (with a pattern: at PATH/TREE)',
    )
    .option(
      '--versions <N>',
      'with --checkout: the newest N snapshots side by side, as PATH/SEQUENCE, and a link PATH/latest',
      readVersions,
    )
    .option('--keep-last <N>', 'the newest N complete snapshots stay at these sites', readKeepLast)
    .option('--keep-days <N>', 'what was published within N days stays as well', readKeepDays)
    .option(
      '--path <PATH>',
      'only what lies at or below this path of the tree; may be given several times',
      readFilterPath,
    )
    .option(
      '--exclude-path <PATH>',
      'but not what lies at or below this one; may be repeated',
      readFilterPath,
    )
    .option(
      '--min-copies <N>',
      '2 to 16: so many sites are to hold it and have shown it; no site collects below that (sites of an older version pass over such a pin)',
      readCopies,
    )
    .option('--priority <N>', '1 to 9, 5 when left out: the higher is fetched first', readPriority)
    .option('--urgent', 'does not wait for other fetches, and caps on rates do not hold it up')
}

function withWhere(command: Command): Command {
  return command
    .option('--site <SITE>', 'at this site')
    .option('--region <REGION>', 'at every site of this region')
    .option('--label <LABEL>', 'at every site of this label (see site label)')
    .option('--all', 'at every site')
}

function sitesOf(where: Where): PinSites {
  const given = [where.site, where.region, where.label, where.all].filter((each) => each !== undefined)
  if (given.length !== 1)
    throw new MirrorError('invalid', 'name one of --site SITE, --region REGION, --label LABEL and --all')
  if (where.site !== undefined) return { site: checkSegment(where.site, 'a site') }
  if (where.label !== undefined) return { label: checkSegment(where.label, 'a label') }
  if (where.region !== undefined) return { region: checkSegment(where.region, 'a region') }
  return { all: true }
}

function checkPattern(tree: string): string {
  if (isTreePattern(tree)) return tree
  throw new MirrorError('invalid', `not a tree or pattern: ${JSON.stringify(tree)}`)
}

async function add(context: Context, tree: string, options: Placement & AsNode): Promise<void> {
  checkPattern(tree)
  const sites = sitesOf(options)
  const settings = settingsOf(options)
  const { checkout } = settings
  const status = await context.api.get<StatusDocument>('/api/v1/status', context.signal)
  if (checkout !== undefined) await checkPlace(context, status, { tree, sites, checkout })
  sayWhenUnknown(context, status, tree, sites)
  sayWhenTooFew(context, status, sites, settings.copies)
  await sayWhenReplaced(context, tree, sites, settings)
  const name = await signPin(context, tree, sites, { ...settings, removed: false }, options)
  await context.terminal.print(`${name}\n`)
}

async function show(context: Context, tree: string, options: Where & { json?: boolean }): Promise<void> {
  const { pinName } = await import('../../../src/record/kinds/pin.ts')
  await showPin(context, pinName(checkPattern(tree), sitesOf(options)), options.json === true)
}

async function remove(context: Context, tree: string, options: Where & AsNode): Promise<void> {
  checkPattern(tree)
  const sites = sitesOf(options)
  const { pinName } = await import('../../../src/record/kinds/pin.ts')
  const name = pinName(tree, sites)
  const { pins } = await context.api.get<{ pins: PinDocument[] }>('/api/v1/pins', context.signal)
  if (!pins.some((pin) => pin.name === name)) {
    throw new MirrorError('not-found', `there is no pin ${name}`, { hint: `See: ${context.self} pin list` })
  }
  await signPin(context, tree, sites, { removed: true }, options)
  await context.terminal.print(`${name} removed\n`)
}

/** A pin's body without what names it. */
export type PinSettings = Omit<PinBody, 'name' | 'sites' | 'tree' | 'version'>

/** Signs a pin, or its removal. Returns its name. */
export async function signPin(
  context: Context,
  tree: string,
  sites: PinSites,
  rest: PinSettings,
  signer: AsNode = {},
): Promise<string> {
  const [{ nextVersion, signAsAdminOrNode }, { pinName }] = await Promise.all([
    import('../sign.ts'),
    import('../../../src/record/kinds/pin.ts'),
  ])
  const name = pinName(tree, sites)
  const version = await nextVersion(context, { kind: 'pin', name })
  await signAsAdminOrNode(context, 'pin', { name, tree, sites, version, ...rest }, signer)
  return name
}

/**
 * PinSites give a place to one tree, by the names of the pins: a new pin could take the place of one that stands. Where
 * patterns put their trees is left to the sites.
 */
async function checkPlace(
  context: Context,
  status: StatusDocument,
  { tree, sites, checkout }: { tree: string; sites: PinSites; checkout: string },
): Promise<void> {
  if (tree.includes('*')) return
  const { pins } = await context.api.get<{ pins: PinDocument[] }>('/api/v1/pins', context.signal)
  const path = withoutTrailingSlash(checkout)
  for (const pin of pins) {
    if (pin.checkout === null || pin.tree.includes('*')) continue
    const other = withoutTrailingSlash(pin.checkout)
    const isSame = other === path
    if (!isSame && !`${path}/`.startsWith(`${other}/`) && !`${other}/`.startsWith(`${path}/`)) continue
    if (isSame && pin.tree === tree) continue
    const site = status.sites.find((each) => covers(sites, each) && covers(pin.sites, each))
    if (site === undefined) continue
    throw new MirrorError('conflict', `${other} is a check-out of ${pin.tree} at ${site.site}`, {
      hint: `Choose a place that is neither within it nor around it. See: ${context.self} pin list`,
    })
  }
}

function withoutTrailingSlash(path: string): string {
  return path.replace(/\/+$/, '')
}

async function list({ api, signal, terminal }: Context, { json }: { json?: boolean }): Promise<void> {
  const { pins } = await api.get<{ pins: PinDocument[] }>('/api/v1/pins', signal)
  if (json === true) {
    await terminal.print(`${JSON.stringify({ pins }, null, 2)}\n`)
    return
  }
  const hasCopies = pins.some(({ copies }) => copies !== undefined)
  await terminal.print(
    formatTable(
      [
        { title: 'TREE' },
        { title: 'SITES' },
        { title: 'CHECK-OUT' },
        { title: 'VERSIONS', align: 'right' },
        { title: 'KEEP' },
        { title: 'PRIORITY' },
        ...(hasCopies ? [{ title: 'COPIES' }] : []),
        { title: 'PATHS' },
      ],
      pins.map((pin) => [
        pin.tree,
        whereText(pin.sites),
        pin.checkout ?? '-',
        pin.versions === undefined ? '-' : String(pin.versions),
        keepText(pin.keep),
        [pin.priority ?? '', pin.class ?? ''].join(' ').trim() || '-',
        ...(hasCopies ? [copiesText(pin)] : []),
        pin.paths === undefined ? 'all' : describeFilter([pin.paths]),
      ]),
    ),
  )
}

function pathsOf({ path = [], excludePath = [] }: Placement): { paths?: PathRule } {
  if (path.length + excludePath.length === 0) return {}
  return {
    paths: {
      include: [...new Set(path)].toSorted(),
      exclude: [...new Set(excludePath)].toSorted(),
    },
  }
}

function keepOf({ keepLast, keepDays }: Placement): { keep?: PinKeep } {
  if (keepLast === undefined && keepDays === undefined) return {}
  return {
    keep: {
      ...(keepLast === undefined ? {} : { last: keepLast }),
      ...(keepDays === undefined ? {} : { days: keepDays }),
    },
  }
}

function whereText(sites: PinDocument['sites']): string {
  if (sites.all === true) return 'all'
  if (sites.label !== undefined) return `label ${sites.label}`
  return sites.region === undefined ? `site ${sites.site}` : `region ${sites.region}`
}
