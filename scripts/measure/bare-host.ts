/** A host of the network alone, for measurements of it: everybody is a member, and it serves whatever blocks it is given. */
import { createHash } from 'node:crypto'
import { systemClock } from '../../src/base/clock.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { type Host, type HostComponents, type HostOptions, startHost } from '../../src/net/host.ts'

/** Of whatever it serves: its mesh has no records, and its tree no index. */
export const PAGE = cidOf(DAG_CBOR, new TextEncoder().encode('page'))

/** @param name its key, and so its PeerId, follows from it */
export function startBareHost(
  name: string,
  blocks: HostComponents['blockServer']['blocks'],
  options: HostOptions,
  more: Pick<Partial<HostComponents>, 'isFar' | 'log'> = {},
): Promise<Host> {
  return startHost(
    {
      keySeed: new Uint8Array(createHash('sha256').update(name).digest()),
      mesh: PAGE,
      membership: { isMember: () => true, acceptsGuests: () => false },
      records: {
        ids: () => [],
        get: () => Promise.resolve([]),
        offer: () => Promise.resolve({ accepted: 0, refused: [] }),
      },
      admission: { claim: () => Promise.resolve({ records: [] }) },
      blockServer: {
        object: () => Promise.resolve(undefined),
        blocks,
        async *watch() {
          yield { kind: 'unknown' }
        },
      },
      clock: systemClock,
      ...more,
    },
    options,
  )
}
