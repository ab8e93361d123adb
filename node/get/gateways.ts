/**
 * Several gateways at once, as the fetching code of a node sees the members of its mesh: asked in turn, those that have least to
 * do for us first, left alone for a while when they fail, and for good when they send wrong bytes. One that takes many times
 * as long as the others is set aside, and what it was asked for is asked of them; as soon as one of those fails it is asked again.
 */
import type { Clock } from '../../src/base/clock.ts'
import { MirrorError } from '../../src/base/errors.ts'
import type { BlockChannel } from '../../src/net/ports.ts'
import type { FetchMembers, FetchNetwork } from '../../src/replica/fetch-network.ts'
import type { HttpGateway } from './http-gateway.ts'
import { createPatience } from './patience.ts'

export interface Gateways {
  readonly network: Pick<FetchNetwork, 'fetchObject' | 'openBlocks'>
  readonly members: FetchMembers
  /** By origin: why it is not asked any more. */
  readonly left: ReadonlyMap<string, string>
  /** By origin: blocks and nodes of the index that it gave. */
  readonly given: ReadonlyMap<string, number>
  leave(origin: string, why: string): void
  /** Asks this one too from now on. */
  add(gateway: HttpGateway): void
  /** Those that were added too. */
  close(): void
}

/** How often somebody who has not answered yet is compared with the others. */
const LOOK_MS = 1_000

export function createGateways(first: readonly HttpGateway[], clock: Clock): Gateways {
  const all = [...first]
  const left = new Map<string, string>()
  const aside = new Set<string>()
  const given = new Map<string, number>()
  const patience = createPatience()

  const reach = (origin: string): HttpGateway => {
    const gateway = all.find((each) => each.origin === origin)
    if (gateway === undefined) throw new MirrorError('unreachable', `no gateway ${origin}`)
    return gateway
  }
  const isAsked = (origin: string): boolean => !left.has(origin) && !aside.has(origin)

  /** Fires when others would have answered long ago. */
  function watch(origin: string, onSlow: (why: MirrorError) => void): () => void {
    const startMs = clock.monotonicMs()
    const look = (): void => {
      const patienceMs = patience.ofMs(origin, isAsked)
      const tookMs = clock.monotonicMs() - startMs
      const isSlow = patienceMs !== undefined && tookMs > patienceMs
      if (isSlow || (aside.has(origin) && all.some((other) => isAsked(other.origin)))) {
        aside.add(origin)
        onSlow(new MirrorError('timed-out', `${origin} takes many times as long as the others`))
      } else cancel = clock.after(LOOK_MS, look)
    }
    let cancel = clock.after(LOOK_MS, look)
    return () => cancel()
  }

  async function timed<T>(
    origin: string,
    ask: (gateway: HttpGateway, signal: AbortSignal) => Promise<T>,
    isGiven: (answer: T) => boolean,
    outer: AbortSignal,
  ): Promise<T> {
    const slow = new AbortController()
    const startMs = clock.monotonicMs()
    const end = watch(origin, (why) => slow.abort(why))
    try {
      const answer = await ask(reach(origin), AbortSignal.any([outer, slow.signal]))
      if (isGiven(answer)) {
        patience.answered(origin, clock.monotonicMs() - startMs)
        given.set(origin, (given.get(origin) ?? 0) + 1)
      }
      return answer
    } catch (error) {
      // The one whose speed the others were measured by may be the one that fails.
      if (!slow.signal.aborted && !outer.aborted) aside.clear()
      throw error
    } finally {
      end()
    }
  }

  return {
    left,
    given,
    leave: (origin, why) => void left.set(origin, why),
    add(gateway) {
      if (!all.some(({ origin }) => origin === gateway.origin)) all.push(gateway)
    },
    close() {
      for (const gateway of all) gateway.close()
    },
    network: {
      fetchObject: (origin, { tree, cid }, outer = new AbortController().signal) =>
        timed(
          origin,
          (gateway, signal) => gateway.object(tree, cid, signal),
          (bytes) => bytes !== undefined,
          outer,
        ),
      openBlocks: (origin): BlockChannel => ({
        peer: origin,
        async request({ tree, page, offsets }, onAnswers, outer = new AbortController().signal) {
          for (const offset of offsets) {
            const answer = await timed(
              origin,
              (gateway, signal) => gateway.block(tree, page, offset, signal),
              ({ status }) => status === 'have',
              outer,
            )
            onAnswers([answer])
          }
        },
        close: () => undefined,
      }),
    },
    members: {
      list() {
        const asked = all.filter(({ origin }) => isAsked(origin))
        const listed = asked.length > 0 ? asked : all.filter(({ origin }) => !left.has(origin))
        return listed.map(({ origin }) => ({
          peer: origin,
          site: origin,
          region: 'gateway',
          wants: true,
          isConnected: true,
        }))
      },
      onChange: () => () => undefined,
    },
  }
}
