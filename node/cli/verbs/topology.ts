/** `topology`: what an admin declares of the links between sites, and what is measured beside it. */
import type { Command } from 'commander'
import { isMirrorError, MirrorError } from '../../../src/base/errors.ts'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { Topology } from '../../../src/topology/topology.ts'
import type { MeasuredPath, TopologyDocument } from '../../api/answers.ts'
import type { TopologyChange } from '../../topology/changes.ts'
import type { Context } from '../context.ts'
import { countOf } from '../quantity.ts'
import { formatTable } from '../table.ts'

interface ApplyOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .command('apply')
    .description('declare the links of the mesh, in place of what was declared before')
    .argument('<FILE>', 'YAML or JSON: regions, sites and paths with their rates and round trips')
    .option('--dry-run', 'say what would change, and change nothing')
    .option('--json', 'print what changes as JSON')
    .addHelpText(
      'after',
      `
An example (a plain number is Mbit/s, or ms):
  regions:
    eu: { up: 100 Mbit/s, down: 100 Mbit/s }
    us: { up: 1 Gbit/s, down: 1 Gbit/s }
  sites:
    lab-7: { up: 5 Mbit/s, down: 25 Mbit/s, reachable: false, subnets: [10.7.0.0/16] }
  paths:
    - { between: [eu, us], rtt: 90 ms, rate: 50 Mbit/s, cost: 3 }`,
    )
    .action((file: string, options: ApplyOptions) => apply(context, file, options))
  command
    .command('show')
    .description('show what is declared, and what this node measures to the members that it is connected to')
    .option('--json', 'print both as JSON; what is under "declared" can be applied again')
    .action((options: { json?: boolean }) => show(context, options))
}

async function apply(context: Context, file: string, options: ApplyOptions): Promise<void> {
  const { api, signal, terminal } = context
  const [{ readTopologyFile }, { topologyChanges }, { warningsOf }, { NO_TOPOLOGY }] = await Promise.all([
    import('../../topology/read-file.ts'),
    import('../../topology/changes.ts'),
    import('../../topology/warnings.ts'),
    import('../../../src/topology/topology.ts'),
  ])
  const [current, status] = await Promise.all([
    api.get<TopologyDocument>('/api/v1/topology', signal),
    api.get<StatusDocument>('/api/v1/status', signal),
  ])
  const sites = new Map(status.sites.map(({ site, region }) => [site, region]))
  const regions = new Set(sites.values())
  const read = await readTopologyFile(file, { sites: new Set(sites.keys()), regions })
  const warnings = warningsOf(read, sites, current.declared ?? undefined)
  for (const warning of warnings) terminal.say(`mirrormesh: note: ${warning}`)
  const changes = topologyChanges(current.declared ?? NO_TOPOLOGY, read.topology)
  const isDryRun = options.dryRun === true
  let version = current.declared?.version ?? null
  if (changes.length > 0 && !isDryRun) version = await signTopology(context, read.topology)
  if (options.json === true) {
    await terminal.print(`${JSON.stringify({ isDryRun, version, changes, warnings }, null, 2)}\n`)
    return
  }
  const end =
    changes.length === 0
      ? 'nothing changes\n'
      : isDryRun
        ? `${countOf(changes.length, 'change')}, none made: this is a dry run\n`
        : `${countOf(changes.length, 'change')}, declared as version ${version}\n`
  await terminal.print(changes.map(changeLine).join('') + end)
}

/** Returns the version that it is declared as. */
export async function signTopology(context: Context, topology: Topology): Promise<number> {
  const { loadAdminKey, nextVersion, signAndSubmit } = await import('../sign.ts')
  const key = await loadAdminKey(context)
  const version = await nextVersion(context, { kind: 'topology', name: 'topology' })
  try {
    await signAndSubmit(context, key, 'topology', { ...topology, version })
  } catch (error) {
    if (!isMirrorError(error, 'limit')) throw error
    throw new MirrorError('limit', `the topology is too large for one record: ${error.message}`, {
      facts: error.facts,
      hint: 'Declare regions and the paths between them; name only those sites that differ from what their region says.',
      cause: error,
    })
  }
  return version
}

function changeLine({ change, part, name, before, after }: TopologyChange): string {
  const what = part === 'path' ? `path ${name}` : `${part} ${name}`
  if (change === 'added') return `+ ${what}: ${after}\n`
  if (change === 'removed') return `- ${what}: ${before}\n`
  return `~ ${what}: ${before} -> ${after}\n`
}

async function show(context: Context, { json }: { json?: boolean }): Promise<void> {
  const document = await context.api.get<TopologyDocument>('/api/v1/topology', context.signal)
  await context.terminal.print(
    json === true ? `${JSON.stringify(document, null, 2)}\n` : await formatTopology(document),
  )
}

async function formatTopology({ self, declared, measured }: TopologyDocument): Promise<string> {
  const [{ describePath, describeRate, describeSite, pathName }, { formatMeasuredRate, formatRate }] =
    await Promise.all([import('../../topology/changes.ts'), import('../../topology/units.ts')])
  const rows = [
    ...(declared?.regions ?? []).map((link) => ['region', link.region, describeRate(link)]),
    ...(declared?.sites ?? []).map((link) => ['site', link.site, describeSite(link)]),
    ...(declared?.paths ?? []).map((link) => ['path', pathName(link), describePath(link)]),
  ]
  const declaredText =
    declared === null
      ? 'nothing is declared: rates and round trips are measured\n'
      : `declared, version ${declared.version}\n${formatTable([{ title: 'PART' }, { title: 'NAME' }, { title: 'LINK' }], rows)}`
  const rate = (now: number, most: number): string =>
    most === 0 ? '-' : `${formatMeasuredRate(now)} (${formatMeasuredRate(most)})`
  const measuredRow = (path: MeasuredPath): string[] => [
    path.site,
    path.region,
    path.isRelayed ? `${path.pathClass}, relayed` : path.pathClass,
    path.rttMs === null ? '-' : `${path.rttMs} ms`,
    path.declaredRttMs === null ? '-' : `${path.declaredRttMs} ms`,
    rate(path.sentBytesPerSecond, path.maxSentBytesPerSecond),
    rate(path.receivedBytesPerSecond, path.maxReceivedBytesPerSecond),
    path.declaredKbit === null ? '-' : formatRate(path.declaredKbit),
  ]
  const measuredText =
    measured.length === 0
      ? `${self.site} is connected to no other member\n`
      : `as ${self.site} (${self.region}) sees them now; in brackets the fastest since its start\n${formatTable(
          [
            { title: 'SITE' },
            { title: 'REGION' },
            { title: 'PATH' },
            { title: 'RTT', align: 'right' },
            { title: 'DECLARED', align: 'right' },
            { title: 'SENDS', align: 'right' },
            { title: 'RECEIVES', align: 'right' },
            { title: 'DECLARED', align: 'right' },
          ],
          measured.map(measuredRow),
        )}`
  return `${declaredText}\n${measuredText}`
}
