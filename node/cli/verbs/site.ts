/** `site`: labels, by which pins name groups of sites, and taking a site out of service for a while or for good. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { checkSegment } from '../../../src/base/names.ts'
import { MAX_LABELS, MAX_NOTE_CHARACTERS } from '../../../src/record/kinds/site.ts'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { SiteDocument } from '../../api/routes/site-routes.ts'
import { type AsNode, withAsNode } from '../as-node-option.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../quantity.ts'
import { formatTable } from '../table.ts'

type Json = { readonly json?: boolean }

export function define(command: Command, context: Context): void {
  command
    .command('list')
    .description('list the sites, with their labels')
    .option('--json', 'print them as JSON')
    .action((options: Json) => list(context, options))
  command
    .command('show')
    .description('show one site, and what it keeps')
    .argument('<SITE>', 'its name')
    .option('--json', 'print it as JSON')
    .action((name: string, options: Json) => show(context, name, options))
  command
    .command('label')
    .description(
      'give a site labels, or take them away; pin add --label keeps a tree at all sites of a label',
    )
    .argument('<SITE>', 'its name; it may join later')
    .argument('<LABEL...>', 'labels to add; with a - behind it, one to take away: office ssd-')
    .option('--json', 'print what was done as JSON')
    .action((name: string, labels: string[], options: Json) => label(context, name, labels, options))
  withAsNode(command.command('drain'))
    .description(
      'take a site out of service: it keeps and serves what it has, fetches nothing more, and nobody is sent there',
    )
    .argument('<SITE>', 'its name')
    .option('--note <TEXT>', 'why; everybody sees it')
    .option('--json', 'print what was done as JSON')
    .action((name: string, options: Json & AsNode & { note?: string }) => drain(context, name, options))
  withAsNode(command.command('undrain'))
    .description('put a drained site back into service: it fetches what it has missed')
    .argument('<SITE>', 'its name')
    .option('--json', 'print what was done as JSON')
    .action((name: string, options: Json & AsNode) => undrain(context, name, options))
}

async function readSites({ api, signal }: Context): Promise<readonly SiteDocument[]> {
  return (await api.get<{ sites: SiteDocument[] }>('/api/v1/sites', signal)).sites
}

async function readSite(context: Context, name: string): Promise<SiteDocument> {
  const found = (await readSites(context)).find(({ site }) => site === name)
  if (found !== undefined) return found
  throw new MirrorError('not-found', `there is no site ${name}`, { hint: `See: ${context.self} site list` })
}

async function list(context: Context, { json }: Json): Promise<void> {
  const sites = await readSites(context)
  await context.terminal.print(
    json === true
      ? `${JSON.stringify({ sites }, null, 2)}\n`
      : formatTable(
          [
            { title: 'SITE' },
            { title: 'REGION' },
            { title: 'SERVICE' },
            { title: 'LABELS' },
            { title: 'NOTE' },
          ],
          sites.map((site) => [
            site.site,
            site.region ?? '(no member)',
            site.drained ? 'drained' : 'in service',
            site.labels.join(' ') || '-',
            site.note || '-',
          ]),
        ),
  )
}

async function show(context: Context, name: string, { json }: Json): Promise<void> {
  const site = await readSite(context, name)
  const status = await context.api.get<StatusDocument>('/api/v1/status', context.signal)
  const trees = status.trees.flatMap((tree) =>
    tree.sites.flatMap(({ site: at, ...replica }) => (at === name ? [{ tree: tree.tree, ...replica }] : [])),
  )
  if (json === true) {
    await context.terminal.print(`${JSON.stringify({ ...site, trees }, null, 2)}\n`)
    return
  }
  const since = site.timeMs === null ? '' : ` since ${formatTime(site.timeMs)}`
  const lines = [
    `site     ${site.site}${site.region === null ? ', which no member has' : ` in ${site.region}`}`,
    `peer     ${site.peer ?? '-'}`,
    `service  ${site.drained ? `drained${since}` : 'in service'}${site.note && `: ${site.note}`}`,
    `labels   ${site.labels.join(' ') || '-'}`,
    ...trees.map(
      ({ tree, state, sequence }) =>
        `tree     ${tree}, ${state}${sequence === null ? '' : `, has @${sequence}`}`,
    ),
  ]
  await context.terminal.print(`${lines.join('\n')}\n`)
}

async function label(
  context: Context,
  name: string,
  changes: readonly string[],
  options: Json,
): Promise<void> {
  checkSegment(name, 'a site')
  const before = await readSites(context)
  const found = before.find(({ site }) => site === name)
  if (found === undefined) {
    context.terminal.say(`mirrormesh: note: there is no site ${name} yet; its labels wait for it.`)
  }
  const labels = new Set(found?.labels)
  for (const change of changes) {
    if (change.endsWith('-')) labels.delete(checkSegment(change.slice(0, -1), 'a label'))
    else labels.add(checkSegment(change, 'a label'))
  }
  await signSite(context, {
    site: name,
    labels: [...labels],
    drained: found?.drained ?? false,
    note: found?.note ?? '',
  })
  await done(context, name, options, `${name}: ${[...labels].toSorted().join(' ') || 'no labels'}`)
}

async function drain(
  context: Context,
  name: string,
  { note = '', ...options }: Json & AsNode & { note?: string },
): Promise<void> {
  const { labels } = await readSite(context, name)
  await signSite(context, { site: name, labels, drained: true, note }, options)
  await done(
    context,
    name,
    options,
    `${name} is drained: it keeps and serves what it has, and takes nothing new`,
  )
}

async function undrain(context: Context, name: string, options: Json & AsNode): Promise<void> {
  const { labels } = await readSite(context, name)
  await signSite(context, { site: name, labels, drained: false, note: '' }, options)
  await done(context, name, options, `${name} is in service`)
}

async function done(context: Context, name: string, { json }: Json, text: string): Promise<void> {
  await context.terminal.print(
    json === true ? `${JSON.stringify(await readSite(context, name), null, 2)}\n` : `${text}\n`,
  )
}

/** Signs what is said of a site, in place of what was said before. */
export async function signSite(
  context: Context,
  {
    site,
    labels,
    drained,
    note,
  }: {
    readonly site: string
    readonly labels: readonly string[]
    readonly drained: boolean
    readonly note: string
  },
  /** Undefined: only an admin can, because the labels change. */
  signer?: AsNode,
): Promise<void> {
  if (labels.length > MAX_LABELS)
    throw new MirrorError('limit', `${site} would have ${labels.length} labels; ${MAX_LABELS} is the most`)
  if (note.length > MAX_NOTE_CHARACTERS)
    throw new MirrorError('limit', `--note has over ${MAX_NOTE_CHARACTERS} characters`)
  const { loadAdminKey, nextVersion, signAndSubmit, signAsAdminOrNode } = await import('../sign.ts')
  const body = {
    site,
    labels: labels.toSorted(),
    drained,
    note,
    version: await nextVersion(context, { kind: 'site', name: site }),
  }
  if (signer === undefined) await signAndSubmit(context, await loadAdminKey(context), 'site', body)
  else await signAsAdminOrNode(context, 'site', body, signer)
}
