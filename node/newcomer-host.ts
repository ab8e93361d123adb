/** The host of a node that is no member of anything yet: it dials, and serves and believes nothing. */
import type { Clock } from '../src/base/clock.ts'
import { MirrorError } from '../src/base/errors.ts'
import type { Cid } from '../src/block/cid.ts'
import type { Host } from '../src/net/ports.ts'
import type { KeyPair } from '../src/record/key.ts'

export async function startNewcomer({
  node,
  clock,
  mesh,
  isMember = () => false,
}: {
  readonly node: KeyPair
  readonly clock: Clock
  readonly mesh: Cid
  /** Whom it takes for a member: the admitter that an invite names. */
  readonly isMember?: (peer: string) => boolean
}): Promise<Host> {
  const { startHost } = await import('../src/net/host.ts')
  return startHost(
    {
      keySeed: node.seed,
      mesh,
      clock,
      membership: { isMember, acceptsGuests: () => false },
      records: {
        ids: () => [],
        get: async () => [],
        offer: async (records) => ({
          accepted: 0,
          refused: records.map(() => ({ reason: 'not a member yet' })),
        }),
      },
      admission: {
        claim: async () => {
          throw new MirrorError('refused', 'this node is joining itself')
        },
      },
      blockServer: {
        object: async () => undefined,
        async *blocks() {
          // Nothing is held yet.
        },
        async *watch() {
          // Nothing is held yet.
        },
      },
    },
    { listen: [] },
  )
}
