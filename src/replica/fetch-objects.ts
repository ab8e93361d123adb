/**
 * Gets control objects (snapshot, index nodes) of one tree: from the store, or else from members, near ones first.
 * What came over the network is verified, stored, and may be asked of this node from then on. Waits as long as it
 * takes: only the signal ends it.
 */
import type { Clock } from '../base/clock.ts'
import { sleep } from '../base/clock.ts'
import { isMirrorError, MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { cidKey, verifyBlock } from '../block/cid.ts'
import type { NodeSource } from '../dag/source.ts'
import type { BlockStore } from '../store/block-store.ts'
import type { Place } from '../topology/path-class.ts'
import { pathClass, tierOf } from '../topology/path-class.ts'
import type { FetchMembers, FetchNetwork } from './fetch-network.ts'
import type { Holdings } from './holdings.ts'
import type { Traffic } from './traffic.ts'

/** One try with a peer of this region, and with another. */
const NEAR_TIMEOUT_MS = 3000
const FAR_TIMEOUT_MS = 30_000
const FIRST_PAUSE_MS = 100
const MAX_PAUSE_MS = 3000

export interface FetchObjectsComponents {
  readonly network: FetchNetwork
  readonly members: FetchMembers
  readonly blocks: BlockStore
  readonly holdings: Holdings
  readonly traffic: Traffic
  readonly clock: Clock
}

export interface FetchObjectsOptions {
  readonly tree: string
  readonly self: Place
  readonly signal: AbortSignal
  readonly isBlamed: (peer: string) => boolean
  readonly onWrongBytes: (peer: string, cid: Cid) => void
}

export function createFetchObjects(
  { network, members, blocks, holdings, traffic, clock }: FetchObjectsComponents,
  { tree, self, signal, isBlamed, onWrongBytes }: FetchObjectsOptions,
): NodeSource {
  const inFlight = new Map<string, Promise<Uint8Array>>()

  async function load(cid: Cid): Promise<Uint8Array> {
    const stored = await blocks.get(cid, signal)
    if (stored !== undefined) {
      await holdings.allow(tree, cid)
      return stored
    }
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)) {
      for (const { peer, isNear } of sources()) {
        const bytes = await ask(peer, cid, isNear ? NEAR_TIMEOUT_MS : FAR_TIMEOUT_MS)
        if (bytes === undefined) continue
        traffic.receivedObject(peer, bytes.length)
        await blocks.put([{ cid, bytes }], { verified: true })
        await holdings.allow(tree, cid)
        return bytes
      }
      await sleep(clock, pauseMs, signal)
    }
  }

  function sources(): { peer: string; isNear: boolean }[] {
    return members
      .list(tree)
      .filter(({ peer, isConnected }) => isConnected && !isBlamed(peer))
      .map((member) => ({ peer: member.peer, tier: tierOf(pathClass(self, member)) }))
      .sort((a, b) => a.tier - b.tier)
      .map(({ peer, tier }) => ({ peer, isNear: tier < tierOf('wan') }))
  }

  async function ask(peer: string, cid: Cid, timeoutMs: number): Promise<Uint8Array | undefined> {
    const timeout = new AbortController()
    const cancel = clock.after(timeoutMs, () => {
      timeout.abort(new MirrorError('timed-out', `peer ${peer} did not answer within ${timeoutMs} ms`))
    })
    try {
      const bytes = await network.fetchObject(peer, { tree, cid }, AbortSignal.any([signal, timeout.signal]))
      if (bytes !== undefined) verifyBlock(cid, bytes)
      return bytes
    } catch (error) {
      signal.throwIfAborted()
      if (isMirrorError(error, 'corrupt')) onWrongBytes(peer, cid)
      return undefined
    } finally {
      cancel()
    }
  }

  return {
    get(cid) {
      const key = cidKey(cid)
      const known = inFlight.get(key)
      if (known !== undefined) return known
      const loading = load(cid).finally(() => inFlight.delete(key))
      inFlight.set(key, loading)
      return loading
    },
  }
}
