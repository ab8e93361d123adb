/** Fetches over real hosts on loopback: the network's port and the fetch's fit each other, and the sharing holds. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cid } from '../../src/block/cid.ts'
import type { FetchProgress } from '../../src/replica/fetch/fetch-session.ts'
import { startFetch } from '../../src/replica/fetch/fetch-session.ts'
import type { FetchMember } from '../../src/replica/fetch-network.ts'
import { createHoldings } from '../../src/replica/holdings/holdings.ts'
import { createBlockService } from '../../src/replica/serve/block-service.ts'
import { createTraffic } from '../../src/replica/traffic.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { META } from '../dag/trees.ts'
import type { TestPeer } from '../net/mesh.ts'
import { introduce, withHosts } from '../net/mesh.ts'
import type { TestNode } from './mesh.ts'
import { clock, filesPlan, publish, TREE } from './mesh.ts'

interface HostedNode extends TestNode {
  readonly peer: TestPeer
}

async function withThree(
  body: (hq: HostedNode, labs: readonly [HostedNode, HostedNode]) => Promise<void>,
): Promise<void> {
  await withHosts(async (start) => {
    const create = async (name: string, region: string): Promise<HostedNode> => {
      const store = createMemoryStore()
      const holdings = createHoldings({ blocks: store.blocks, values: (space) => store.values(space), clock })
      const traffic = createTraffic()
      const server = createBlockService({ blocks: store.blocks, holdings, traffic, mayRead: () => true })
      const peer = await start(name, { blockServer: server })
      const parts = { name, region, store, holdings, traffic, server, peer, encodings: new Map() }
      return {
        ...parts,
        isConnected: true,
        wants: true,
        filter: undefined,
        corrupt: undefined,
        onServe: undefined,
      }
    }
    const hq = await create('hq', 'east')
    const labs = [await create('lab-a', 'west'), await create('lab-b', 'west')] as const
    introduce(hq.peer, labs[0].peer, labs[1].peer)
    await labs[0].peer.host.dial(hq.peer.host.peerId, [hq.peer.address])
    await labs[1].peer.host.dial(hq.peer.host.peerId, [hq.peer.address])
    await labs[1].peer.host.dial(labs[0].peer.host.peerId, [labs[0].peer.address])
    await body(hq, labs)
  })
}

/** For a machine that is too busy to answer in time: nobody is given up, so each block leaves the origin once. */
const PATIENT = { minLeaseMs: 120_000, graceMs: 120_000 }

function fetchAt(
  node: HostedNode,
  all: readonly HostedNode[],
  snapshot: Cid,
  scheduling: Partial<typeof PATIENT> = {},
  base?: Cid,
) {
  const others = all.filter((other) => other !== node)
  return startFetch(
    {
      network: node.peer.host,
      members: {
        list: () => {
          const connected = new Set(node.peer.host.peers().map(({ peer }) => peer))
          return others.map(
            ({ name, region, peer }): FetchMember => ({
              peer: peer.host.peerId,
              site: name,
              region,
              wants: region === 'west',
              isConnected: connected.has(peer.host.peerId),
            }),
          )
        },
        onChange: (listener) => node.peer.host.onPeer(listener),
      },
      blocks: node.store.blocks,
      holdings: node.holdings,
      traffic: node.traffic,
      clock,
    },
    { tree: TREE, snapshot, self: { site: node.name, region: node.region }, scheduling, base },
  )
}

function assertShared(hq: HostedNode, labs: readonly HostedNode[], blocks: number): void {
  const { blocksSentMoreThanOnce, distinctBlocksSent } = hq.traffic.totals()
  assert.equal(distinctBlocksSent, blocks)
  assert.ok(blocksSentMoreThanOnce <= 0.02 * blocks, `${blocksSentMoreThanOnce} of ${blocks} left hq twice`)
  for (const lab of labs) {
    const { bytesReceived } = lab.traffic.totals()
    const other = labs.find((one) => one !== lab)!
    const fromOther = lab.traffic.totals().peers.get(other.peer.host.peerId)?.bytesReceived ?? 0
    assert.ok(fromOther >= 0.3 * bytesReceived, `${lab.name} took ${fromOther} of ${bytesReceived}`)
  }
  // The first to complete had part of it from the other, who was not complete yet. Of a tree this small the second may
  // send nothing before it is complete itself.
  const sent = labs.map((lab) => lab.traffic.totals().bytesSentBeforeComplete)
  assert.ok(
    blocks > 100 ? sent.every((bytes) => bytes > 0) : sent.some((bytes) => bytes > 0),
    `sent early: ${sent}`,
  )
}

for (const [files, bytes] of [
  [10, 4000],
  [150, 131_072],
  [6000, 900],
] as const) {
  test(`over real hosts, ${files} files of ${bytes} bytes leave the origin once`, async () => {
    await withThree(async (hq, labs) => {
      const { cid, snapshot } = await publish(hq, filesPlan(files, bytes))
      const fetches = labs.map((lab) => fetchAt(lab, [hq, ...labs], cid, PATIENT))
      const results = await Promise.all(fetches.map(({ done }) => done))
      for (const result of results) assert.equal(result.heldBlocks, snapshot.counts.blocks)
      assertShared(hq, labs, snapshot.counts.blocks)
    })
  })
}

test('over real hosts, a site that loses its neighbour and its own connection in mid-fetch completes', async () => {
  await withThree(async (hq, labs) => {
    const { cid, snapshot } = await publish(hq, filesPlan(3000, 2000))
    const [a, b] = labs
    const fetching = fetchAt(a, [hq, ...labs], cid)
    const other = fetchAt(b, [hq, ...labs], cid)
    const reached = (progress: () => FetchProgress, blocks: number): Promise<void> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (progress().heldBlocks >= blocks) resolve()
          else setImmediate(look)
        }
        look()
      })
    await reached(fetching.progress, 500)
    other.stop()
    await b.peer.host.stop()
    await reached(fetching.progress, 1000)
    await a.peer.host.disconnect(hq.peer.host.peerId)
    await a.peer.host.dial(hq.peer.host.peerId, [hq.peer.address])
    const result = await fetching.done
    assert.equal(result.heldBlocks, snapshot.counts.blocks)
    assert.equal(result.fetchedBlocks, snapshot.counts.blocks)
  })
})

test('over real hosts, a site that holds a snapshot asks for the index of the next as a difference', async () => {
  await withThree(async (hq, labs) => {
    const plan = (edited: number) => {
      const made = filesPlan(3000, 600)
      if (made.type !== 'directory') throw new Error('not a directory')
      const children = new Map(made.children)
      for (const name of [...children.keys()].slice(1500, 1500 + edited))
        children.set(name, { type: 'file', meta: META, chunks: [Buffer.from(`edited ${name}`)] })
      return { ...made, children }
    }
    const first = await publish(hq, plan(0))
    await Promise.all(labs.map((lab) => fetchAt(lab, [hq, ...labs], first.cid, PATIENT).done))
    const before = labs.map((lab) => lab.traffic.totals())
    const next = await publish(hq, plan(20))
    const results = await Promise.all(
      labs.map((lab) => fetchAt(lab, [hq, ...labs], next.cid, PATIENT, first.cid).done),
    )
    for (const [i, { heldBlocks }] of results.entries()) {
      assert.equal(heldBlocks, next.snapshot.counts.blocks)
      const after = labs[i]!.traffic.totals()
      const received = after.bytesReceived - before[i]!.bytesReceived
      const plain = after.plainBytesReceived - before[i]!.plainBytesReceived
      // What is saved are pages of the index: no block of these trees is compressed on the way.
      assert.ok(plain - received > 20_000, `${received} bytes received of ${plain}`)
    }
    const sent = hq.traffic.totals()
    assert.ok(sent.plainBytesSent > sent.bytesSent)
  })
})
