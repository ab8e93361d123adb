/** `fetch`: what this node is fetching now, of whom each part is asked, and why; and holding one back for a while. */
import { userInfo } from 'node:os'
import type { Command } from 'commander'
import type { FetchDocument, FetchesDocument, FetchSummary, PausedFetch } from '../../api/answers.ts'
import type { Context } from '../context.ts'
import { countOf, formatBytes, formatSeconds, formatTime } from '../quantity.ts'
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
  command
    .command('pause')
    .description('fetch nothing more of these trees at this site until they are resumed; kept over restarts')
    .argument('<TREE...>', 'trees that are kept here')
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
What is here of a tree stays, is served to others and goes into check-outs; what was fetched of a newer snapshot counts when
it goes on. Others see in status by whom and since when it is paused, and do not wait for this site. At another site: with
--api and a token of that site, or for all of its trees with site drain.`,
    )
    .action((trees: string[], options: Options) => pause(context, trees, options))
  command
    .command('resume')
    .description('let paused fetches go on')
    .argument('<TREE...>', 'trees that are paused here')
    .option('--json', 'print them as JSON')
    .action((trees: string[], options: Options) => resume(context, trees, options))
}

async function pause({ api, env, self, signal, terminal }: Context, trees: string[], { json }: Options) {
  const paused: PausedFetch[] = []
  for (const tree of trees) {
    paused.push(
      await api.post(`/api/v1/fetches/${encodeURIComponent(tree)}/pause`, { by: userName(env) }, signal),
    )
  }
  if (json === true) return terminal.print(`${JSON.stringify({ paused }, null, 2)}\n`)
  for (const { tree, by } of paused)
    terminal.say(`${tree} is paused by ${by}; it goes on with: ${self} fetch resume ${tree}`)
}

async function resume({ api, signal, terminal }: Context, trees: string[], { json }: Options) {
  const resumed: { tree: string; wasPaused: boolean }[] = []
  for (const tree of trees) {
    resumed.push(await api.post(`/api/v1/fetches/${encodeURIComponent(tree)}/resume`, {}, signal))
  }
  if (json === true) return terminal.print(`${JSON.stringify({ resumed }, null, 2)}\n`)
  for (const { tree, wasPaused } of resumed)
    terminal.say(wasPaused ? `${tree} goes on` : `${tree} was not paused here`)
}

/** Whoever opens the socket is trusted with his name; over TCP that of the token counts. */
function userName(env: Context['env']): string {
  try {
    return env.SUDO_USER || userInfo().username
  } catch {
    // A user without an entry in passwd.
    return `user ${process.getuid?.() ?? ''}`
  }
}

async function list({ api, signal, terminal }: Context, { json = false }: Options): Promise<void> {
  const answer = await api.get<FetchesDocument>('/api/v1/fetches', signal)
  if (json) {
    await terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
    return
  }
  for (const { tree, by, sinceMs } of answer.paused ?? [])
    terminal.say(`${tree} is paused by ${by} since ${formatTime(sinceMs)}`)
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
  const { checkout } = fetch
  if (checkout !== undefined) {
    await terminal.print(
      `check-out at ${checkout.path}: ${countOf(checkout.files, 'file')}, ${formatBytes(checkout.bytes)}, written meanwhile\n`,
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
