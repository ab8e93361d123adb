/**
 * Several gateways at once, as the fetching code of a node sees the members of its mesh: asked in turn, those that have least to
 * do for us first, left alone for a while when they fail, and for good when they send wrong bytes.
 */
import { MirrorError } from '../../src/base/errors.ts'
import type { BlockChannel } from '../../src/net/ports.ts'
import type { FetchMembers, FetchNetwork } from '../../src/replica/fetch-network.ts'
import type { HttpGateway } from './http-gateway.ts'

export interface Gateways {
  readonly network: Pick<FetchNetwork, 'fetchObject' | 'openBlocks'>
  readonly members: FetchMembers
  /** By origin: why it is not asked any more. */
  readonly left: ReadonlyMap<string, string>
  leave(origin: string, why: string): void
}

export function createGateways(all: readonly HttpGateway[]): Gateways {
  const left = new Map<string, string>()
  const reach = (origin: string): HttpGateway => {
    const gateway = all.find((each) => each.origin === origin)
    if (gateway === undefined) throw new MirrorError('unreachable', `no gateway ${origin}`)
    return gateway
  }
  return {
    left,
    leave: (origin, why) => void left.set(origin, why),
    network: {
      fetchObject: (origin, { tree, cid }, signal = new AbortController().signal) =>
        reach(origin).object(tree, cid, signal),
      openBlocks: (origin): BlockChannel => ({
        peer: origin,
        async request({ tree, page, offsets }, onAnswers, signal = new AbortController().signal) {
          for (const offset of offsets) onAnswers([await reach(origin).block(tree, page, offset, signal)])
        },
        close: () => undefined,
      }),
    },
    members: {
      list: () =>
        all
          .filter(({ origin }) => !left.has(origin))
          .map(({ origin }) => ({
            peer: origin,
            site: origin,
            region: 'gateway',
            wants: true,
            isConnected: true,
          })),
      onChange: () => () => undefined,
    },
  }
}
