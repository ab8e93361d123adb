/** `fetch`: what this node is fetching now, of whom each part is asked, and why. */
import type { Command } from 'commander'
import type { FetchDocument, FetchSummary } from '../../api/answers.ts'
import type { Context } from '../context.ts'
import { countOf, formatBytes, formatSeconds } from '../quantity.ts'
import { formatTable } from '../table.ts'

interface Options {
  readonly all?: boolean
  readonly json?: boolean
}

const SHOWN_SEGMENTS = 20

export function define(command: Command, context: Context): void {
  command
    .command('list')
    .description('list the fetches of this node')
    .option('--json', 'print them as JSON')
    .action((options: Options) => list(context, options))
  command
    .command('show')
    .description(
      'say for each peer and each segment of a fetch: from whom, why, how fast, and what limits it',
    )
    .argument('<TREE>', 'a tree that is being fetched')
    .option('--all', `every active segment, not the first ${SHOWN_SEGMENTS}`)
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      `
A segment is a run of neighbouring blocks. Its owner takes it over the WAN for the whole region; its entry is the region
by which it leaves that of the publisher. Tier 0 are the sites of this region; nearer tiers are always asked first.`,
    )
    .action((tree: string, options: Options) => show(context, tree, options))
}

async function list({ api, signal, terminal }: Context, { json = false }: Options): Promise<void> {
  const answer = await api.get<{ fetches: FetchSummary[] }>('/api/v1/fetches', signal)
  if (json) {
    await terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
    return
  }
  if (answer.fetches.length === 0) {
    terminal.say('nothing is being fetched')
    return
  }
  await terminal.print(
    formatTable(
      [
        { title: 'tree' },
        { title: 'phase' },
        { title: 'held', align: 'right' },
        { title: 'of', align: 'right' },
        { title: 'rate', align: 'right' },
        { title: 'left', align: 'right' },
      ],
      answer.fetches.map((fetch) => [
        fetch.tree,
        fetch.phase,
        formatBytes(fetch.heldBytes),
        fetch.totalBytes === null ? '?' : formatBytes(fetch.totalBytes),
        `${formatBytes(fetch.bytesPerSecond)}/s`,
        leftText(fetch),
      ]),
    ),
  )
}

async function show(
  { api, self, signal, terminal }: Context,
  tree: string,
  { all = false, json = false }: Options,
): Promise<void> {
  const fetch = await api.get<FetchDocument>(`/api/v1/fetches/${encodeURIComponent(tree)}`, signal)
  if (json) {
    await terminal.print(`${JSON.stringify(fetch, null, 2)}\n`)
    return
  }
  const total = fetch.totalBytes === null ? '?' : formatBytes(fetch.totalBytes)
  await terminal.print(
    `${fetch.tree}: ${fetch.phase}, ${formatBytes(fetch.heldBytes)} of ${total} held, ` +
      `${formatBytes(fetch.fetchedBytes)} fetched in ${formatSeconds(fetch.seconds)}, ` +
      `${formatBytes(fetch.bytesPerSecond)}/s, ${countOf(fetch.duplicateBlocks, 'block')} twice\n`,
  )
  const { deltas } = fetch
  if (deltas !== null && deltas.deltasFetched + deltas.blocksMade > 0) {
    await terminal.print(
      `${countOf(deltas.deltasFetched, 'delta')} of ${formatBytes(deltas.deltaBytesFetched)} fetched; ` +
        `${countOf(deltas.blocksMade, 'block')}, ${formatBytes(deltas.bytesMade)}, made of deltas\n`,
    )
  }
  if (fetch.peers.length > 0) await terminal.print(`\n${peerTable(fetch)}`)
  const shown = fetch.segments.slice(0, all ? undefined : SHOWN_SEGMENTS)
  if (shown.length === 0) return
  await terminal.print(`\n${segmentTable(shown)}`)
  const more = fetch.segments.length - shown.length + fetch.moreSegments
  if (more > 0)
    terminal.say(`and ${countOf(more, 'segment')} more${all ? '' : `: ${self} fetch show ${tree} --all`}`)
}

function peerTable({ peers }: FetchDocument): string {
  const rows = peers
    .toSorted((a, b) => a.tier - b.tier || b.bytesPerSecond - a.bytesPerSecond)
    .map((peer) => [
      peer.site,
      peer.region,
      String(peer.tier),
      peer.holds,
      `${formatBytes(peer.bytesPerSecond)}/s`,
      `${formatBytes(peer.inFlightBytes)} of ${formatBytes(peer.pipelineBytes)}`,
      peer.state,
    ])
  return formatTable(
    [
      { title: 'site' },
      { title: 'region' },
      { title: 'tier' },
      { title: 'holds' },
      { title: 'rate', align: 'right' },
      { title: 'in flight', align: 'right' },
      { title: 'state' },
    ],
    rows,
  )
}

function segmentTable(segments: FetchDocument['segments']): string {
  return formatTable(
    [
      { title: 'segment' },
      { title: 'missing', align: 'right' },
      { title: 'entry' },
      { title: 'owner' },
      { title: 'asked of' },
      { title: 'state' },
    ],
    segments.map((segment) => [
      `page ${segment.page}, ${segment.firstBlock} to ${segment.endBlock - 1}`,
      String(segment.missingBlocks),
      segment.entry ?? '-',
      segment.owner,
      segment.askedOf.map(({ site, reason }) => `${site} (${reason})`).join(', ') || '-',
      segment.state,
    ]),
  )
}

function leftText({ totalBytes, heldBytes, bytesPerSecond }: FetchSummary): string {
  if (totalBytes === null || bytesPerSecond === 0) return '-'
  return formatSeconds(Math.max(0, totalBytes - heldBytes) / bytesPerSecond)
}
