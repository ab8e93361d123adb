/** Versions on a file system that can clone files: a real one, in a file that is mounted for the test. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { createCheckoutStorage } from '../../src/tree/checkout/checkout-storage.ts'
import { checkOutVersion } from '../../src/tree/versions/versions.ts'
import { missingOf } from './missing-blocks.ts'
import type { Bench } from './trees.ts'
import { bench, describeTree, noise, setTime } from './trees.ts'

const BIG = 24 * 1024 * 1024

/** Undefined, and the test skipped, where it takes another user or the package xfsprogs. */
function mountXfs(t: TestContext, b: Bench): string | undefined {
  const image = b.at('image')
  const at = b.at('xfs')
  fs.mkdirSync(at)
  fs.closeSync(fs.openSync(image, 'w'))
  fs.truncateSync(image, 320 * 1024 * 1024)
  try {
    execFileSync('mkfs.xfs', ['-q', '-m', 'reflink=1', image])
    execFileSync('mount', ['-o', 'loop', image, at], { stdio: 'ignore' })
  } catch (error) {
    if (process.env.CI === 'true') throw error
    t.skip('needs root and the package xfsprogs')
    return undefined
  }
  return at
}

function usedBytes(dir: string): number {
  execFileSync('sync', ['-f', dir])
  const { blocks, bfree, bsize } = fs.statfsSync(dir)
  return (blocks - bfree) * bsize
}

test('where files can be cloned, a version takes the space of what changed, and is apart from the others all the same', async (t) => {
  const b = await bench(t)
  const disk = mountXfs(t, b)
  if (disk === undefined) return
  try {
    const { blocks } = b.store
    const storage = createCheckoutStorage({ blocks })
    const source = b.at('source')
    fs.mkdirSync(`${source}/dir`, { recursive: true })
    fs.writeFileSync(`${source}/big`, noise(BIG))
    fs.writeFileSync(`${source}/sparse`, 'start')
    fs.truncateSync(`${source}/sparse`, 8 * 1024 * 1024)
    fs.writeFileSync(`${source}/dir/small`, 'small')
    fs.chmodSync(`${source}/dir/small`, 0o4750)
    fs.linkSync(`${source}/big`, `${source}/dir/link`)
    for (const name of ['big', 'sparse', 'dir/small']) setTime(`${source}/${name}`, 1_000_000_000, 7)
    const versions = []
    let usedBefore = 0
    for (let n = 1; n <= 4; n++) {
      fs.writeFileSync(`${source}/changing`, noise(500_000, n))
      const version = await b.import(source)
      versions.push(version)
      const { checkout } = await checkOutVersion(
        { blocks, clock: systemClock, storage },
        {
          root: version.snapshot.root,
          dir: `${disk}/out`,
          sequence: n,
          versions: 3,
          label: { tree: 'test', snapshot: version.snapshotCid.toString() },
          counts: version.snapshot.counts,
        },
      )
      assert.deepEqual(describeTree(`${disk}/out/${n}`), describeTree(source))
      const used = usedBytes(disk)
      if (n > 1) {
        assert.equal(checkout?.reusedFiles, 3)
        assert.equal(checkout?.bytes, 500_000)
        assert.ok(used - usedBefore < 2 * 1024 * 1024, `${used - usedBefore} bytes more`)
      }
      usedBefore = used
    }
    assert.deepEqual(
      fs
        .readdirSync(`${disk}/out`)
        .filter((name) => !name.startsWith('.'))
        .sort(),
      ['2', '3', '4', 'latest'],
    )
    for (const version of versions) assert.equal(await missingOf(b, version), 0)
    const inodes = [2, 3, 4].map((n) => fs.statSync(`${disk}/out/${n}/big`).ino)
    assert.equal(new Set(inodes).size, 3)
    const before = describeTree(`${disk}/out/3`)
    fs.writeFileSync(`${disk}/out/4/big`, 'written by a client')
    assert.deepEqual(describeTree(`${disk}/out/3`), before)

    // Neither what somebody changed is cloned, nor what only looks so.
    fs.writeFileSync(`${disk}/out/4/dir/small`, 'SMALL')
    fs.utimesSync(`${disk}/out/4/sparse`, 1, 1)
    setTime(`${disk}/out/4/dir/small`, 1_000_000_000, 7)
    fs.chmodSync(`${disk}/out/4/dir/small`, 0o4750)
    // The file held its blocks: they are found missing, and stored again.
    assert.ok((await missingOf(b, versions.at(-1)!)) > 0)
    const version = await b.import(source)
    assert.equal(await missingOf(b, version), 0)
    const { checkout } = await checkOutVersion(
      { blocks, clock: systemClock, storage },
      {
        root: version.snapshot.root,
        dir: `${disk}/out`,
        sequence: 5,
        versions: 3,
        label: { tree: 'test', snapshot: version.snapshotCid.toString() },
      },
    )
    assert.equal(checkout?.reusedFiles, 1)
    assert.deepEqual(describeTree(`${disk}/out/5`), describeTree(source))
  } finally {
    execFileSync('umount', ['-l', disk])
  }
})
