import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { encodeQuestion } from '../../src/replica/questions.ts'
import { decodeAnnouncement } from '../../src/replica/status/status-announcement.ts'
import type { Topology } from '../../src/topology/topology.ts'
import { startSite, type TestSite, until, withTempDir } from './agent-mesh.ts'
import { createTestMesh, testKey } from './test-mesh.ts'

const SITES = {
  hq: { key: testKey(20), region: 'eu' },
  'lab-a': { key: testKey(21), region: 'us' },
  'lab-b': { key: testKey(22), region: 'us' },
  'relay-1': { key: testKey(23), region: 'asia' },
  'relay-2': { key: testKey(24), region: 'asia' },
} as const
type Site = keyof typeof SITES

/** Sites that all know each other's records, one after another, each with the addresses of some that are there. */
async function withSites(
  { pinned, topology }: { pinned: readonly string[]; topology?: Omit<Topology, 'paths' | 'regions'> },
  body: (tools: {
    start: (site: Site, peers: readonly TestSite[], listen?: readonly string[]) => Promise<TestSite>
    publish: (origin: TestSite) => Promise<void>
  }) => Promise<void>,
): Promise<void> {
  await withTempDir(async (dir) => {
    const mesh = createTestMesh()
    const records = [
      mesh.genesis,
      ...Object.entries(SITES).map(([site, { key, region }]) => mesh.member(key, site, region)),
      ...mesh.tree('t', SITES.hq.key),
      ...pinned.map((site) =>
        mesh.sign(mesh.admin, 'pin', { name: site, tree: 't', sites: { site }, version: 1, removed: false }),
      ),
      ...(topology === undefined
        ? []
        : [mesh.sign(mesh.admin, 'topology', { regions: [], paths: [], ...topology, version: 1 })]),
    ]
    const source = path.join(dir, 'source')
    await fs.mkdir(source)
    const started: TestSite[] = []
    try {
      await body({
        async start(site, peers, listen) {
          const { key, region } = SITES[site]
          const given = { key, site, region, records, tempDir: dir, peers }
          const one = await startSite(mesh, listen === undefined ? given : { ...given, listen })
          started.push(one)
          return one
        },
        async publish(origin) {
          await fs.writeFile(path.join(source, 'file'), randomBytes(2_000_000))
          await origin.publisher.publish({ path: source, tree: 't' })
        },
      })
    } finally {
      await Promise.all(started.map((site) => site.stop()))
    }
  })
}

const holds = (site: TestSite, name: Site, sequence: number): Promise<void> =>
  until(site, `sequence ${sequence} at ${name}`, ({ trees }) =>
    trees.some(({ sites }) =>
      sites.some((each) => each.site === name && each.state === 'complete' && each.sequence === sequence),
    ),
  )

/** How one is connected to another now. */
function pathOf(one: TestSite, other: TestSite): 'direct' | 'relayed' | 'none' {
  const info = one.host.peers().find(({ peer }) => peer === other.host.peerId)
  return info === undefined ? 'none' : info.isRelayed === true ? 'relayed' : 'direct'
}

test('an origin and a site that cannot be dialled serve and fetch over what they dialled', async () => {
  await withSites({ pinned: ['lab-a', 'lab-b'] }, async ({ start, publish }) => {
    const labA = await start('lab-a', [])
    const hq = await start('hq', [labA], [])
    const labB = await start('lab-b', [labA], [])
    await publish(hq)
    await holds(labA, 'lab-a', 1)
    await holds(labB, 'lab-b', 1)
    assert.equal(pathOf(labA, labB), 'direct')
    assert.equal(pathOf(labA, hq), 'direct')
  })
})

test('two sites that cannot be dialled meet at a member that does not want the tree, and then at another', async () => {
  await withSites({ pinned: ['lab-a'] }, async ({ start, publish }) => {
    const relays = [await start('relay-1', []), await start('relay-2', [])] as const
    const hq = await start('hq', relays, [])
    const labA = await start('lab-a', relays, [])
    await publish(hq)
    await holds(labA, 'lab-a', 1)
    assert.equal(pathOf(labA, hq), 'relayed')
    const carried = relays.map(({ host }) => host.relayed().bytes)
    assert.ok(Math.max(...carried) > 2_000_000, `${carried} bytes relayed`)
    for (const relay of relays) {
      assert.equal(relay.agent.status().traffic.blocksSent, 0)
      assert.equal(relay.agent.status().traffic.classes.wan.bytesReceived, 0)
    }
    // The one that carries them dies in the middle of things; the next snapshot comes through the other.
    const at = carried[0]! > carried[1]! ? 0 : 1
    await Promise.all([publish(hq), relays[at]!.stop()])
    await holds(labA, 'lab-a', 2)
    assert.equal(pathOf(labA, hq), 'relayed')
    // Who is asked something and is no neighbour is connected to for it, by the relay as well: the answer is its own.
    await labA.host.disconnect(hq.host.peerId)
    const signal = AbortSignal.timeout(20_000)
    await labA.agent.reach(hq.host.peerId, signal)
    assert.equal(pathOf(labA, hq), 'relayed')
    const answer = await labA.host.ask(hq.host.peerId, encodeQuestion({ ask: 'status' }), signal)
    assert.equal(decodeAnnouncement(answer).trees[0]?.tree, 't')
    const stranger = testKey(40).peer
    await assert.rejects(labA.agent.reach(stranger, signal), { code: 'unreachable' })
    // Two when both dialled at once.
    assert.ok([1, 2].includes(relays[1 - at]!.host.relayed().circuits))
  })
})

test('a region whose sites the topology calls unreachable is served through a relay, and shares within', async () => {
  const topology = {
    sites: [
      { site: 'lab-a', isReachable: false },
      { site: 'lab-b', isReachable: false },
    ],
  }
  await withSites({ pinned: ['lab-a', 'lab-b'], topology }, async ({ start, publish }) => {
    const relay = await start('relay-1', [])
    const hq = await start('hq', [relay], [])
    const labA = await start('lab-a', [relay])
    const labB = await start('lab-b', [relay])
    await publish(hq)
    await holds(labA, 'lab-a', 1)
    await holds(labB, 'lab-b', 1)
    await until(labA, 'a neighbour', () => pathOf(labA, labB) === 'direct')
    assert.ok([labA, labB].some((lab) => pathOf(lab, hq) === 'relayed'))
  })
})
