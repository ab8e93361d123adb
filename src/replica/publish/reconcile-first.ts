/** Asks peers for what they know before a publisher's first signature after a start. */
import type { Clock } from '../../base/clock.ts'
import { sleep } from '../../base/clock.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { Host } from '../../net/ports.ts'
import type { KeyPair } from '../../record/key.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import type { Ledger } from '../records/ledger.ts'

export interface ReconcileComponents {
  readonly ledger: Ledger
  readonly host: Pick<Host, 'peers' | 'reconcile'>
  readonly nodeKey: KeyPair
  readonly clock: Clock
  readonly logger: ReplicaLog
}

const RECONCILE_TIMEOUT_MS = 15_000
/** Peers asked before the first signature: more than one, since one could withhold. */
const MAX_RECONCILED_PEERS = 8
/** How long a start waits for a first peer to be connected, when there are others in the mesh. */
const FIRST_PEER_WAIT_MS = 5_000

/** True when at least one peer answered, or when there is no other member to ask. */
export async function reconcileWithPeers({
  ledger,
  host,
  nodeKey,
  clock,
  logger,
}: ReconcileComponents): Promise<boolean> {
  const others = [...ledger.state().members.values()].filter(
    (member) => member.isActive && member.peer !== nodeKey.peer,
  )
  if (others.length === 0) return true
  const deadlineMs = clock.monotonicMs() + FIRST_PEER_WAIT_MS
  while (host.peers().length === 0 && clock.monotonicMs() < deadlineMs) await sleep(clock, 100)
  const answers = await Promise.all(
    host
      .peers()
      .slice(0, MAX_RECONCILED_PEERS)
      .map(async ({ peer }) => {
        const timeout = timeLimit(clock, RECONCILE_TIMEOUT_MS)
        try {
          await host.reconcile(peer, timeout.signal)
          return true
        } catch (error) {
          logger.warn(
            { peer, err: asMirrorError(error, 'reconcile before publishing') },
            'publish.reconcile-failed',
          )
          return false
        } finally {
          timeout.clear()
        }
      }),
  )
  return answers.includes(true)
}

function timeLimit(clock: Clock, limitMs: number): { signal: AbortSignal; clear: () => void } {
  const controller = new AbortController()
  const clear = clock.after(limitMs, () =>
    controller.abort(new MirrorError('timed-out', `no answer within ${limitMs} ms`)),
  )
  return { signal: controller.signal, clear }
}
