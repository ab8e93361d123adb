/**
 * Gets control objects (snapshot, index nodes) of one tree: from the store, or else from members, near ones first, as
 * object-sources.ts says; a neighbour that gets one for the region is waited for a while.
 * What came over the network is verified, stored, and may be asked of this node from then on. Waits as long as it
 * takes: only the signal ends it.
 */
import type { Clock } from '../../base/clock.ts'
import { sleep } from '../../base/clock.ts'
import { isMirrorError, MirrorError } from '../../base/errors.ts'
import type { Block } from '../../block/block.ts'
import type { Cid } from '../../block/cid.ts'
import { cidKey, verifyBlock } from '../../block/cid.ts'
import type { NodeSource } from '../../dag/source.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { Place } from '../../topology/path-class.ts'
import type { FetchMembers, FetchNetwork } from '../fetch-network.ts'
import type { Holdings } from '../holdings/holdings.ts'
import type { Traffic } from '../traffic.ts'
import type { IndexOverBase } from './index-over-base.ts'
import type { ObjectSources, Told } from './object-sources.ts'
import { objectSources } from './object-sources.ts'

/** One try with a peer of this region, and with another. */
const NEAR_TIMEOUT_MS = 3000
const FAR_TIMEOUT_MS = 30_000
/** A carrier is asked again and again for so long; one that was waited for in vain is not waited for again in this time. */
const CARRIER_PATIENCE_MS = 3000
const CARRIER_DISTRUST_MS = 30_000
const FIRST_POLL_MS = 10
const MAX_POLL_MS = 100
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
  readonly origin?: Place | undefined
  readonly signal: AbortSignal
  readonly isBlamed: (peer: string) => boolean
  /** What a member said of the snapshot that is being fetched. */
  readonly told: (peer: string) => Told | undefined
  readonly onWrongBytes: (peer: string, cid: Cid) => void
  /** What objects may resemble that is here; nothing by default. */
  readonly over?: Pick<IndexOverBase, 'basesOf' | 'note'>
}

interface Wanted {
  readonly tree: string
  readonly cid: Cid
  readonly bases: readonly Block[]
}

export function createFetchObjects(
  { network, members, blocks, holdings, traffic, clock }: FetchObjectsComponents,
  { tree, self, origin, signal, isBlamed, told, onWrongBytes, over }: FetchObjectsOptions,
): NodeSource {
  const inFlight = new Map<string, Promise<Uint8Array>>()
  const distrustedUntilMs = new Map<string, number>()

  async function load(cid: Cid): Promise<Uint8Array> {
    const stored = await blocks.get(cid, signal)
    if (stored !== undefined) {
      await holdings.allow(tree, cid)
      over?.note(cid, stored)
      return stored
    }
    const wanted = { tree, cid, bases: (await over?.basesOf(cid)) ?? [] }
    const bytes = (await awaitCarrier(wanted)) ?? (await search(wanted))
    await blocks.put([{ cid, bytes }], { verified: true })
    await holdings.allow(tree, cid)
    over?.note(cid, bytes)
    return bytes
  }

  /** As long as a neighbour gets it for the region. */
  async function awaitCarrier(wanted: Wanted): Promise<Uint8Array | undefined> {
    const endMs = clock.monotonicMs() + CARRIER_PATIENCE_MS
    for (let pauseMs = FIRST_POLL_MS; ; pauseMs = Math.min(MAX_POLL_MS, pauseMs * 2)) {
      const { carrier, near } = sourcesOf(wanted.cid)
      const nowMs = clock.monotonicMs()
      if (carrier === undefined || nowMs < (distrustedUntilMs.get(carrier) ?? 0)) return undefined
      const bytes = await askAll(wanted, near, NEAR_TIMEOUT_MS)
      if (bytes !== undefined) return bytes
      if (nowMs >= endMs) {
        distrustedUntilMs.set(carrier, nowMs + CARRIER_DISTRUST_MS)
        return undefined
      }
      await sleep(clock, pauseMs, signal)
    }
  }

  /** Asks everybody until somebody has it. */
  async function search(wanted: Wanted): Promise<Uint8Array> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)) {
      const { near, otherNear, far } = sourcesOf(wanted.cid)
      const bytes =
        (await askAll(wanted, near, NEAR_TIMEOUT_MS)) ??
        (await askAll(wanted, far, FAR_TIMEOUT_MS)) ??
        (await askAll(wanted, otherNear, NEAR_TIMEOUT_MS))
      if (bytes !== undefined) return bytes
      await sleep(clock, pauseMs, signal)
    }
  }

  function sourcesOf(cid: Cid): ObjectSources {
    const trusted = members.list(tree).filter(({ peer, isConnected }) => isConnected && !isBlamed(peer))
    return objectSources(cid, trusted, { self, origin, told })
  }

  async function askAll(
    wanted: Wanted,
    peers: readonly string[],
    timeoutMs: number,
  ): Promise<Uint8Array | undefined> {
    for (const peer of peers) {
      const bytes = await ask(peer, wanted, timeoutMs)
      if (bytes !== undefined) return bytes
    }
    return undefined
  }

  async function ask(peer: string, wanted: Wanted, timeoutMs: number): Promise<Uint8Array | undefined> {
    const { cid } = wanted
    const timeout = new AbortController()
    const cancel = clock.after(timeoutMs, () => {
      timeout.abort(new MirrorError('timed-out', `peer ${peer} did not answer within ${timeoutMs} ms`))
    })
    try {
      let travelledBytes: number | undefined
      const onTravelled = (count: number): void => {
        travelledBytes = count
      }
      const ends = AbortSignal.any([signal, timeout.signal])
      const bytes = await network.fetchObject(peer, { ...wanted, onTravelled }, ends)
      if (bytes === undefined) return undefined
      verifyBlock(cid, bytes)
      traffic.receivedObject(peer, travelledBytes ?? bytes.length, bytes.length)
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
