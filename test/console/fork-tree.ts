/**
 * Two heads at one place, by the key of the node that publishes: as after a restore from an old backup. No node takes the
 * second from a client, so both are put into the log of another site while its daemon does not run.
 */
import { join } from 'node:path'
import type { ChainDocument, HeadDocument } from '../../node/api/answers.ts'
import { loadKey } from '../../node/keys.ts'
import { systemClock } from '../../src/base/clock.ts'
import { parseCid } from '../../src/block/cid.ts'
import { draftRecord, signRecord } from '../../src/record/draft.ts'
import { openStore } from '../../src/store/store.ts'

export interface ForkRequest {
  /** Newest first: the older ones' snapshots become the branches. */
  readonly heads: readonly HeadDocument[]
  /** Of the publisher's key. */
  readonly chain: ChainDocument
  /** Homes of the publisher's node, and of one whose daemon is stopped. */
  readonly publisherHome: string
  readonly stoppedHome: string
}

export async function forkTree({ heads, chain, publisherHome, stoppedHome }: ForkRequest): Promise<void> {
  const key = await loadKey(join(publisherHome, 'keys/node.key'), 'the key of the node')
  const newest = heads[0]!
  let tip = { counter: chain.counter, id: parseCid(chain.prev!) }
  const records = heads.slice(1, 3).map(({ snapshot, files, bytes }) => {
    const draft = draftRecord({
      kind: 'head',
      body: {
        ...{ tree: newest.tree, epoch: newest.epoch, sequence: newest.sequence + 1 },
        previous: parseCid(newest.id),
        snapshot: parseCid(snapshot),
        counts: { files: files ?? 0, bytes: bytes ?? 0 },
      },
      mesh: parseCid(chain.mesh),
      issuer: key.publicKey,
      tip,
      timeMs: newest.timeMs + 1000,
    })
    tip = { counter: tip.counter + 1, id: draft.id }
    return signRecord(draft, key)
  })
  const store = await openStore({ dir: join(stoppedHome, 'store'), clock: systemClock })
  await store.records.append(records)
  await store.close()
}
