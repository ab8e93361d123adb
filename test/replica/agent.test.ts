import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { isMirrorError } from '../../src/base/errors.ts'
import type { ReplicaStatus, StatusDocument } from '../../src/replica/status/status.ts'
import { startSite, type TestSite, until, withTempDir } from './agent-mesh.ts'
import { createTestMesh, testKey } from './test-mesh.ts'

const keys = { hq: testKey(20), 'lab-a': testKey(21), 'lab-b': testKey(22) }
const replica = (status: StatusDocument, site: string): ReplicaStatus | undefined =>
  status.trees[0]?.sites.find((each) => each.site === site)

test('a published tree reaches every pinned site and its check-out, and follows the next head', async () => {
  await withTempDir(async (dir) => {
    const mesh = createTestMesh()
    const source = path.join(dir, 'source')
    const checkout = path.join(dir, 'checkout')
    await fs.mkdir(path.join(source, 'sub'), { recursive: true })
    await fs.writeFile(path.join(source, 'a.txt'), 'one')
    await fs.writeFile(path.join(source, 'sub/big'), Buffer.alloc(3_000_000, 'mirrormesh '))
    const records = [
      mesh.genesis,
      mesh.member(keys.hq, 'hq', 'eu'),
      mesh.member(keys['lab-a'], 'lab-a', 'us'),
      mesh.member(keys['lab-b'], 'lab-b', 'us'),
      ...mesh.tree('t', keys.hq),
      mesh.sign(mesh.admin, 'pin', {
        name: 'all',
        tree: 't',
        sites: { region: 'us' },
        version: 1,
        removed: false,
      }),
      mesh.sign(mesh.admin, 'pin', {
        name: 'a',
        tree: 't',
        sites: { site: 'lab-a' },
        checkout,
        version: 1,
        removed: false,
      }),
    ]
    const sites: TestSite[] = []
    try {
      const hq = await startSite(mesh, { key: keys.hq, site: 'hq', region: 'eu', records, tempDir: dir })
      sites.push(hq)
      for (const name of ['lab-a', 'lab-b'] as const) {
        // lab-b knows lab-a only from what hq tells: nothing but the records and one address are given.
        const given = {
          key: keys[name],
          site: name,
          region: 'us',
          records: records.slice(0, 4),
          tempDir: dir,
        }
        sites.push(await startSite(mesh, { ...given, peers: [hq] }))
      }
      const [, labA, labB] = sites as [TestSite, TestSite, TestSite]
      const first = await hq.publisher.publish({ path: source, tree: 't' })
      assert.equal(first.sequence, 1)
      assert.equal(first.isNew, true)
      const isThere = (sequence: number) => (status: StatusDocument) =>
        replica(status, 'lab-a')?.state === 'complete' &&
        replica(status, 'lab-b')?.state === 'complete' &&
        status.trees[0]?.sequence === sequence &&
        replica(status, 'lab-a')?.checkouts[0]?.sequence === sequence
      for (const site of sites) await until(site, 'sequence 1 everywhere', isThere(1))
      assert.equal(await fs.readFile(path.join(checkout, 'a.txt'), 'utf8'), 'one')

      const unchanged = await hq.publisher.publish({ path: source, tree: 't' })
      assert.equal(unchanged.isNew, false)
      assert.equal(unchanged.sequence, 1)

      await fs.writeFile(path.join(source, 'a.txt'), 'two')
      await hq.publisher.publish({ path: source, tree: 't' })
      for (const site of sites) await until(site, 'sequence 2 everywhere', isThere(2))
      assert.equal(await fs.readFile(path.join(checkout, 'a.txt'), 'utf8'), 'two')
      await until(labB, 'lab-b hears of lab-a', (status) =>
        status.sites.every(
          ({ state, addresses }) => (state === 'up' || state === 'self') && addresses.length > 0,
        ),
      )
      const { traffic } = labA.agent.status()
      assert.ok(traffic.classes.wan.bytesReceived > 0)
      assert.equal(replica(hq.agent.status(), 'hq')?.state, 'complete')

      await assert.rejects(labA.publisher.publish({ path: source, tree: 't' }), (error) =>
        isMirrorError(error, 'refused'),
      )
      await fs.rm(source, { recursive: true })
      await fs.mkdir(source)
      await assert.rejects(hq.publisher.publish({ path: source, tree: 't' }), (error) =>
        isMirrorError(error, 'refused'),
      )
    } finally {
      await Promise.all(sites.map((site) => site.stop()))
    }
  })
})

test('a site that was down catches up by itself, and what it holds is not fetched again', async () => {
  await withTempDir(async (dir) => {
    const mesh = createTestMesh()
    const source = path.join(dir, 'source')
    await fs.mkdir(source)
    await fs.writeFile(path.join(source, 'big'), Buffer.alloc(2_000_000, 'mirrormesh '))
    const records = [
      mesh.genesis,
      mesh.member(keys.hq, 'hq', 'eu'),
      mesh.member(keys['lab-a'], 'lab-a', 'us'),
      ...mesh.tree('t', keys.hq),
      mesh.sign(mesh.admin, 'pin', {
        name: 'all',
        tree: 't',
        sites: { all: true },
        version: 1,
        removed: false,
      }),
    ]
    const common = { records, tempDir: dir }
    const hq = await startSite(mesh, { ...common, key: keys.hq, site: 'hq', region: 'eu' })
    const lab = await startSite(mesh, {
      ...common,
      key: keys['lab-a'],
      site: 'lab-a',
      region: 'us',
      peers: [hq],
    })
    let again: TestSite | undefined
    try {
      await hq.publisher.publish({ path: source, tree: 't' })
      await until(lab, 'sequence 1', (status) => replica(status, 'lab-a')?.sequence === 1)
      await lab.stop()
      await fs.writeFile(path.join(source, 'more'), 'more')
      await hq.publisher.publish({ path: source, tree: 't' })
      again = await startSite(mesh, {
        ...common,
        key: keys['lab-a'],
        site: 'lab-a',
        region: 'us',
        records: [],
        store: lab.store,
      })
      await until(again, 'sequence 2', (status) => replica(status, 'lab-a')?.sequence === 2)
      const { bytesReceived } = again.agent.status().traffic.classes.wan
      assert.ok(bytesReceived < 20_000, `${bytesReceived} bytes came again`)
    } finally {
      await again?.stop()
      await lab.stop()
      await hq.stop()
    }
  })
})
