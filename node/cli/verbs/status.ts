/** `status`: the whole mesh as this node knows it. */
import type { Command } from 'commander'
import { pauseReason } from '../../../src/replica/fetch-pauses.ts'
import type {
  InPlaceStatus,
  ReplicaStatus,
  StatusDocument,
  TreeStatus,
} from '../../../src/replica/status/status.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { formatBytes, formatCount, formatSeconds } from '../quantity.ts'
import { formatTable, shortIds } from '../table.ts'

interface Options {
  readonly json?: boolean
  readonly check?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .option('--json', 'print the status document as JSON')
    .option(
      '--check',
      'exit 4 unless every site that is not drained is up, every tree complete and checked out where it is pinned, may be read and is not paused, and nothing alarming',
    )
    .action((options: Options) => show(context, options))
}

async function show(context: Context, options: Options): Promise<void> {
  const status = await context.api.get<StatusDocument>('/api/v1/status', context.signal)
  if (options.check === true && !isWell(status)) context.exitWith(EXIT.degraded)
  await context.terminal.print(
    options.json === true ? `${JSON.stringify(status, null, 2)}\n` : formatStatus(status),
  )
}

export function isWell(status: StatusDocument): boolean {
  const drained = new Set(status.sites.filter((site) => site.drained).map(({ site }) => site))
  return (
    status.alarms.length === 0 &&
    status.sites.every((site) => site.drained || site.state === 'self' || site.state === 'up') &&
    status.trees.every((tree) => tree.inPlace?.isAtRisk !== true) &&
    status.trees.every((tree) =>
      tree.sites.every(
        ({ site, state, reason, hasNoRight, pause }) =>
          drained.has(site) ||
          hasNoRight === true ||
          (pause !== undefined && state === 'behind') ||
          (state === 'complete' && reason === undefined),
      ),
    )
  )
}

const PEER_ID_PREFIX = '12D3KooW'.length

export function formatStatus(status: StatusDocument): string {
  const { mesh, self } = status
  const short = shortIds(
    status.sites.map((site) => site.peer),
    PEER_ID_PREFIX,
  )
  const parts = [`mesh ${mesh.name}, seen from ${self.site} (${self.region})\nid ${mesh.id}\n`]
  for (const alarm of status.alarms) parts.push(`ALARM ${alarm.kind} ${alarm.subject}: ${alarm.detail}\n`)
  for (const { code, site, viaSite, peer } of status.requests ?? [])
    parts.push(`ASKS to join: ${site ?? peer}, code ${code}, at ${viaSite}; see member requests\n`)
  parts.push(
    formatTable(
      [
        { title: 'SITE' },
        { title: 'REGION' },
        { title: 'STATE' },
        { title: 'HEARD', align: 'right' },
        { title: 'PEER' },
        { title: 'ADDRESSES' },
      ],
      status.sites.map((site) => [
        site.site,
        site.region,
        site.drained ? `${site.state}, drained` : site.state,
        site.ageSeconds === null || site.state === 'self' ? '-' : formatSeconds(site.ageSeconds),
        short(site.peer),
        site.addresses.slice(0, 2).join(' ') || '-',
      ]),
    ),
  )
  for (const { name, sites } of status.takedowns ?? []) {
    const left = sites.filter(({ state }) => state !== 'done').map(({ site }) => site)
    if (left.length > 0) parts.push(`takedown of ${name}: not done yet at ${left.join(', ')}\n`)
  }
  for (const { tree, inPlace, copies } of status.trees) {
    if (inPlace !== undefined) parts.push(`${tree}: ${describeInPlace(inPlace)}\n`)
    if (copies !== undefined && copies.verified < copies.wanted)
      parts.push(`${tree}: ${copies.verified} of ${copies.wanted} copies of @${copies.sequence} verified\n`)
  }
  parts.push(status.trees.length === 0 ? 'no trees yet\n' : formatTrees(status.trees))
  if (status.traffic.peers.length > 0) parts.push(formatTraffic(status))
  return parts.join('\n')
}

/** Of a tree that was published in place here. */
export function describeInPlace({ path, completeElsewhere, isAtRisk }: InPlaceStatus): string {
  const rests = `rests on the files in ${path}`
  return isAtRisk
    ? `AT RISK: ${rests}, and no other site is complete`
    : `${rests}; complete at ${completeElsewhere} other`
}

function formatTrees(trees: readonly TreeStatus[]): string {
  const rows = trees.flatMap((tree) => {
    const head = [
      tree.tree,
      tree.sequence === null ? '-' : `@${tree.sequence}`,
      tree.files === null ? '-' : formatCount(tree.files),
      tree.bytes === null ? '-' : formatBytes(tree.bytes),
    ]
    const sites = tree.sites.map((site) => [site.site, describeReplica(site, tree)])
    if (sites.length === 0) return [[...head, '-', 'pinned nowhere']]
    return sites.map((site, i) => [...(i === 0 ? head : ['', '', '', '']), ...site])
  })
  return formatTable(
    [
      { title: 'TREE' },
      { title: 'HEAD', align: 'right' },
      { title: 'FILES', align: 'right' },
      { title: 'SIZE', align: 'right' },
      { title: 'SITE' },
      { title: 'STATE' },
    ],
    rows,
  )
}

function describeReplica(site: ReplicaStatus, tree: TreeStatus): string {
  const parts: string[] = [
    site.isFiltered === true && site.state === 'complete' ? 'complete (filtered)' : site.state,
  ]
  if (site.state !== 'complete' && site.sequence !== null && site.sequence !== tree.sequence) {
    parts.push(`has @${site.sequence}`)
  }
  if (site.missingBytes !== null && site.missingBytes > 0)
    parts.push(`${formatBytes(site.missingBytes)} missing`)
  for (const { path, sequence, versions } of site.checkouts) {
    const place = versions === undefined ? path : `${path}/latest (versions: ${versions})`
    parts.push(sequence === null ? `no check-out at ${place} yet` : `@${sequence} at ${place}`)
  }
  // Of a complete one too: a check-out there cannot be made.
  if (site.reason !== undefined) parts.push(site.reason)
  else if (site.pause !== undefined) parts.push(pauseReason(site.pause))
  return parts.join(', ')
}

function formatTraffic({ traffic }: StatusDocument): string {
  const table = formatTable(
    [
      { title: 'TRAFFIC WITH' },
      { title: 'PATH' },
      { title: 'SENT', align: 'right' },
      { title: 'RECEIVED', align: 'right' },
      { title: 'BLOCKS SENT', align: 'right' },
      { title: 'BLOCKS RECEIVED', align: 'right' },
    ],
    traffic.peers.map((peer) => [
      peer.site ?? peer.peer,
      peer.pathClass,
      formatBytes(peer.bytesSent),
      formatBytes(peer.bytesReceived),
      formatCount(peer.blocksSent),
      formatCount(peer.blocksReceived),
    ]),
  )
  const compressed = traffic.peers
    .filter(({ bytesSent, plainBytesSent }) => bytesSent < plainBytesSent)
    .map((peer) => {
      const [plain, sent] = [formatBytes(peer.plainBytesSent), formatBytes(peer.bytesSent)]
      return `${plain} left for ${peer.site ?? peer.peer} as ${sent}, compressed\n`
    })
    .join('')
  const givingWay = traffic.peers
    .filter(({ givesWay }) => givesWay === true)
    .map((peer) => `what is sent to ${peer.site ?? peer.peer} gives way to other traffic (limits show)\n`)
    .join('')
  return `${table}${compressed}${givingWay}${formatCount(traffic.blocksSentMoreThanOnce)} of ${formatCount(traffic.blocksSent)} blocks left here more than once\n`
}
