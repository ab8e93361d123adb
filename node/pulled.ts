/** What the gateway reads of snapshots that are not complete here: the parts of it, put together. */
import { rm } from 'node:fs/promises'
import type { Clock } from '../src/base/clock.ts'
import { asMirrorError } from '../src/base/errors.ts'
import type { Cid } from '../src/block/cid.ts'
import { mayRead } from '../src/record/mesh-state.ts'
import { swarmOf } from '../src/replica/fetch/swarm-facts.ts'
import type { FetchNetwork } from '../src/replica/fetch-network.ts'
import { createBlocksOf, isPrivateTree } from '../src/replica/holdings/tree-views.ts'
import { createPullThrough, type PullUsage } from '../src/replica/pull/pull-through.ts'
import type { Ledger } from '../src/replica/records/ledger.ts'
import type { SiteAgent } from '../src/replica/site-agent/types.ts'
import type { Traffic } from '../src/replica/traffic.ts'
import { type BlockCache, openBlockCache } from '../src/store/block-cache.ts'
import type { BlockStore } from '../src/store/block-store.ts'
import type { Place } from '../src/topology/path-class.ts'
import { createFileReader } from '../src/tree/read-file.ts'
import type { PullSource } from './gateway/tree-lookup.ts'
import type { Log } from './log.ts'

export interface Pulled {
  readonly source: PullSource
  readonly cache: BlockCache
  usage(): PullUsage
  close(): void
}

/** Of one answer: hides 100 ms to the site that holds it at 40 MB/s. */
const READ_AHEAD_BYTES = 4 * 1024 * 1024
/** Of all. */
const MAX_READ_AHEAD_BYTES = 32 * 1024 * 1024

/** Where nothing is pulled any more: what was kept is of snapshots that may be taken down, and nobody would look there. */
export async function removePulled(dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true }).catch((error) => {
    throw asMirrorError(error, `remove what the gateway kept for readers, ${dir}`)
  })
}

export function openPulled(
  {
    blocks,
    ledger,
    agent,
    network,
    traffic,
    clock,
    log,
    isGone,
  }: {
    readonly blocks: BlockStore
    readonly ledger: Pick<Ledger, 'state'>
    readonly agent: Pick<SiteAgent, 'members' | 'demandOf' | 'blame'>
    readonly network: FetchNetwork
    readonly traffic: Traffic
    readonly clock: Clock
    readonly log: Log
    readonly isGone: (tree: string, snapshot: Cid) => boolean
  },
  {
    dir,
    quotaBytes,
    self,
  }: { readonly dir: string; readonly quotaBytes: number; readonly self: Place & { readonly peer: string } },
): Pulled {
  const cache = openBlockCache({ log: (event, facts) => log.warn(facts, event) }, { dir, quotaBytes })
  const through = createPullThrough(
    {
      network,
      members: agent.members,
      blocksOf: createBlocksOf(blocks, { state: ledger.state, clock }),
      isPrivate: (tree) => isPrivateTree(ledger.state(), tree),
      isGone,
      cache,
      traffic,
      clock,
      log,
      originOf: (tree) => swarmOf(ledger.state(), tree).origin,
      demandOf: agent.demandOf,
      onBlame: agent.blame,
    },
    { self },
  )
  const shares = { readings: 0 }
  return {
    source: {
      mayPull: (tree) => mayRead(ledger.state(), tree, self.peer, clock.nowMs()),
      open(tree, snapshot) {
        const source = through.open(tree, snapshot)
        const { read } = createFileReader(
          { blocks: source },
          { readAheadBytes: READ_AHEAD_BYTES, maxTotalBytes: MAX_READ_AHEAD_BYTES, shares },
        )
        return { blocks: source, readFile: read }
      },
    },
    cache,
    usage: through.usage,
    close: through.close,
  }
}
