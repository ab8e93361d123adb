/** The scheduler in a simulated mesh: the same code as in the daemon, under a virtual clock. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SimulatedSite, Simulation, SimulationResult } from '../../topology/simulator.ts'
import { simulate } from '../../topology/simulator.ts'

const MiB = 1024 * 1024
const hq: SimulatedSite = { site: 'hq', region: 'east', isOrigin: true }
const labA: SimulatedSite = { site: 'lab-a', region: 'west' }
const labB: SimulatedSite = { site: 'lab-b', region: 'west' }

function pagesOf(blocks: number, lengthBytes: number, blocksPerPage = 256): number[][] {
  const pages: number[][] = []
  for (let at = 0; at < blocks; at += blocksPerPage) {
    const count = Math.min(blocksPerPage, blocks - at)
    pages.push(Array.from({ length: count }, (_, i) => lengthBytes + ((at + i) % 7) * (lengthBytes >> 4)))
  }
  return pages
}

function run(sites: readonly SimulatedSite[], more: Partial<Simulation> = {}): SimulationResult {
  return simulate({
    sites,
    pages: pagesOf(1000, 128 * 1024),
    wanBytesPerSecond: 12 * MiB,
    lanBytesPerSecond: 100 * MiB,
    wanRttMs: 40,
    limitMs: 600_000,
    ...more,
  })
}

function assertComplete(result: SimulationResult, ...sites: string[]): void {
  for (const site of sites)
    assert.notEqual(result.sites.get(site)!.doneMs, undefined, `${site} is not complete`)
}

function shareFrom(result: SimulationResult, site: string, from: string): number {
  return (result.sites.get(site)!.bytesFrom.get(from) ?? 0) / result.snapshotBytes
}

test('two sites of a region share a snapshot: every block leaves the origin once', () => {
  const result = run([hq, labA, labB])
  assertComplete(result, 'lab-a', 'lab-b')
  assert.equal(result.originBlocksSent, result.blocks)
  assert.equal(result.originBlocksSentMoreThanOnce, 0)
  assert.ok(shareFrom(result, 'lab-a', 'lab-b') > 0.4)
  assert.ok(shareFrom(result, 'lab-b', 'lab-a') > 0.4)
})

test('a site gives most of its share away before it is complete itself', () => {
  const result = run([hq, labA, labB])
  for (const site of ['lab-a', 'lab-b']) {
    const { bytesSent, bytesSentBeforeComplete } = result.sites.get(site)!
    assert.ok(
      bytesSentBeforeComplete > 0.8 * bytesSent,
      `${site}: ${bytesSentBeforeComplete} of ${bytesSent}`,
    )
  }
})

test('cut-through costs little: the last site is done within 1.2 times what its region’s pipe needs', () => {
  const result = run([hq, labA, labB])
  const boundMs = (1000 * result.snapshotBytes) / (12 * MiB)
  for (const site of ['lab-a', 'lab-b']) {
    const doneMs = result.sites.get(site)!.doneMs!
    assert.ok(doneMs < 1.2 * boundMs, `${site}: ${doneMs} ms, bound ${boundMs} ms`)
  }
})

for (const blocks of [10, 30, 100]) {
  test(`a tree of ${blocks} blocks is shared too`, () => {
    const result = run([hq, labA, labB], { pages: pagesOf(blocks, 64 * 1024) })
    assertComplete(result, 'lab-a', 'lab-b')
    assert.equal(result.originBlocksSentMoreThanOnce, 0)
    assert.ok(shareFrom(result, 'lab-a', 'lab-b') >= 0.3)
    assert.ok(shareFrom(result, 'lab-b', 'lab-a') >= 0.3)
  })
}

test('small blocks travel in batches', () => {
  const result = run([hq, labA, labB], { pages: pagesOf(20_000, 4096, 1024) })
  assertComplete(result, 'lab-a', 'lab-b')
  assert.equal(result.originBlocksSentMoreThanOnce, 0)
  assert.ok(result.requests < 40_000 / 20, `${result.requests} requests for 2 x 20,000 blocks`)
})

test('three regions of three sites: each region takes each byte once over the WAN', () => {
  const sites = ['north', 'south', 'west'].flatMap((region) =>
    [1, 2, 3].map((number) => ({ site: `${region}-${number}`, region })),
  )
  const result = run([hq, ...sites], { pages: pagesOf(400, 128 * 1024) })
  assertComplete(result, ...sites.map(({ site }) => site))
  for (const region of ['north', 'south', 'west'])
    assert.ok(result.wanBytesInto.get(region)! <= 1.01 * result.snapshotBytes, region)
})

test('a neighbour that learns of the snapshot a second later still takes its share', () => {
  const result = run([hq, labA, { ...labB, startsMs: 900 }])
  assertComplete(result, 'lab-a', 'lab-b')
  assert.ok(result.originBlocksSentMoreThanOnce <= 0.02 * result.blocks)
  assert.ok(shareFrom(result, 'lab-a', 'lab-b') > 0.3)
})

test('a neighbour that never begins loses its share after its lease', () => {
  const result = run([hq, labA, { ...labB, startsMs: 1e9, diesMs: 2e9 }], { limitMs: 120_000 })
  assertComplete(result, 'lab-a')
  assert.ok(result.sites.get('lab-a')!.doneMs! < 20_000)
})

test('a late joiner takes what its region holds from its region', () => {
  const result = run([hq, labA, { ...labB, startsMs: 30_000 }])
  assertComplete(result, 'lab-a', 'lab-b')
  assert.equal(result.originBlocksSentMoreThanOnce, 0)
  assert.equal(shareFrom(result, 'lab-b', 'lab-a'), 1)
})

test('a site that dies in mid-fetch is replaced, at the price of at most 2 % of the blocks', () => {
  const result = run([hq, labA, { ...labB, diesMs: 4000 }])
  assertComplete(result, 'lab-a')
  assert.ok(result.originBlocksSentMoreThanOnce <= 0.02 * result.blocks)
  assert.ok(result.sites.get('lab-a')!.doneMs! < 20_000)
})

test('a site that restarts with a part asks only for the rest', () => {
  const result = run([hq, labA, { ...labB, holdsPercent: 40 }])
  assertComplete(result, 'lab-a', 'lab-b')
  const taken = [...result.sites.get('lab-b')!.bytesFrom.values()].reduce((sum, bytes) => sum + bytes, 0)
  assert.ok(taken < 0.61 * result.snapshotBytes)
  assert.ok(result.originBlocksSentMoreThanOnce <= 0.02 * result.blocks)
  assert.ok(result.wanBytesInto.get('west')! <= 0.63 * result.snapshotBytes)
})

test('the mesh completes when the origin dies after one copy is out', () => {
  const result = run([
    { ...hq, diesMs: 14_000 },
    labA,
    labB,
    { site: 'lab-c', region: 'north', startsMs: 13_000 },
  ])
  assertComplete(result, 'lab-a', 'lab-b', 'lab-c')
})

test('a site with a slow link of its own is relieved by the others', () => {
  const result = run([hq, labA, { ...labB, wanBytesPerSecond: MiB }])
  assertComplete(result, 'lab-a', 'lab-b')
  const alone = (1000 * result.snapshotBytes) / 2 / MiB
  assert.ok(result.sites.get('lab-a')!.doneMs! < 0.6 * alone)
  assert.ok(result.originBlocksSentMoreThanOnce <= 0.02 * result.blocks)
})

test('a peer that sends wrong bytes is blamed, and the fetch completes without it', () => {
  const result = run([hq, labA, { ...labB, serves: 'wrong' }])
  assertComplete(result, 'lab-a', 'lab-b')
  assert.deepEqual(result.sites.get('lab-a')!.blamed, ['lab-b'])
  assert.equal(shareFrom(result, 'lab-a', 'lab-b'), 0)
})

test('a peer that promises blocks and sends none is passed over', () => {
  const result = run([hq, labA, { ...labB, serves: 'nothing' }])
  assertComplete(result, 'lab-a', 'lab-b')
  assert.ok(result.sites.get('lab-a')!.doneMs! < 60_000, `${result.sites.get('lab-a')!.doneMs}`)
})
