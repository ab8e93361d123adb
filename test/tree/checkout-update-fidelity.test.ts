/** Updates of check-outs with attributes, holes, special files and storage in place: what is taken over is exact. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { makeSpecial } from '../../src/posix/special.ts'
import { removeXattr, setXattr } from '../../src/posix/xattr.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { createCheckoutStorage } from '../../src/tree/checkout/checkout-storage.ts'
import { missingOf } from './missing-blocks.ts'
import type { Bench } from './trees.ts'
import { bench, describeTree, noise, setTime } from './trees.ts'

const OLD_SEC = 1_000_000_000
const TAG = Buffer.from('user.tag')
const HOLE_BYTES = 1024 * 1024

function tag(path: string, value: string): void {
  setXattr(Buffer.from(path), TAG, Buffer.from(value))
}

function inodeOf(path: string): bigint {
  return fs.lstatSync(path, { bigint: true }).ino
}

/** Seven files; their times lie in the past. */
function makeTree(b: Bench): (name: string) => string {
  const at = (name: string): string => b.at('source', name)
  fs.mkdirSync(at('dir'), { recursive: true })
  for (const name of ['plain', 'tagged', 'retagged', 'untagged']) fs.writeFileSync(at(`dir/${name}`), name)
  for (const name of ['tagged', 'retagged', 'untagged']) tag(at(`dir/${name}`), name)
  for (const name of ['sparse', 'filled']) {
    fs.writeFileSync(at(`dir/${name}`), '')
    fs.truncateSync(at(`dir/${name}`), HOLE_BYTES)
    fs.appendFileSync(at(`dir/${name}`), 'data after a hole')
  }
  fs.writeFileSync(at('dir/zeros'), Buffer.alloc(HOLE_BYTES))
  for (const name of fs.readdirSync(at('dir'))) setTime(at(`dir/${name}`), OLD_SEC, 5)
  makeSpecial(Buffer.from(at('dir/pipe')), 'fifo', { major: 0, minor: 0 })
  fs.linkSync(at('dir/pipe'), at('dir/pipe-2'))
  fs.symlinkSync('plain', at('dir/link'))
  return at
}

test('attributes and holes that differ between two snapshots are written anew, the rest is taken over', async (t) => {
  const b = await bench(t)
  const at = makeTree(b)
  await b.checkOut(await b.import(b.at('source')), b.at('out'))
  assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('source')))
  const inodes = new Map(
    fs.readdirSync(b.at('out/dir')).map((name) => [name, inodeOf(b.at('out/dir', name))]),
  )
  tag(at('dir/retagged'), 'other')
  removeXattr(Buffer.from(at('dir/untagged')), TAG)
  tag(at('dir/plain'), 'new')
  const fd = fs.openSync(at('dir/filled'), 'r+')
  fs.writeSync(fd, Buffer.alloc(HOLE_BYTES), 0, HOLE_BYTES, 0)
  fs.closeSync(fd)
  setTime(at('dir/filled'), OLD_SEC, 5)
  const version = await b.import(b.at('source'))
  const { files, reusedFiles } = await b.checkOut(version, b.at('out'), { replace: true })
  assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('source')))
  assert.equal(files, 7)
  assert.equal(reusedFiles, 3)
  for (const name of ['tagged', 'sparse', 'zeros']) {
    assert.equal(inodeOf(b.at('out/dir', name)), inodes.get(name), name)
  }
})

test('attributes and holes that somebody changed in a check-out come back, with the time set back too', async (t) => {
  const b = await bench(t)
  makeTree(b)
  const version = await b.import(b.at('source'))
  await b.checkOut(version, b.at('out'))
  const out = (name: string): string => b.at('out/dir', name)
  tag(out('plain'), 'new')
  tag(out('retagged'), 'other')
  removeXattr(Buffer.from(out('untagged')), TAG)
  const fd = fs.openSync(out('filled'), 'r+')
  fs.writeSync(fd, Buffer.alloc(HOLE_BYTES), 0, HOLE_BYTES, 0)
  fs.closeSync(fd)
  execFileSync('fallocate', ['--punch-hole', '--offset', '0', '--length', '65536', out('zeros')])
  for (const name of ['filled', 'zeros']) setTime(out(name), OLD_SEC, 5)
  // Only its ctime moves: it is read, its attributes are compared, and it is taken.
  const tagged = inodeOf(out('tagged'))
  fs.chmodSync(out('tagged'), fs.statSync(out('tagged')).mode)
  fs.unlinkSync(out('pipe'))
  const { files, reusedFiles } = await b.checkOut(version, b.at('out'), { replace: true })
  assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('source')))
  assert.equal(inodeOf(out('tagged')), tagged)
  assert.equal(files - reusedFiles, 5)
  const again = await b.checkOut(version, b.at('out'), { replace: true })
  assert.equal(again.reusedFiles, again.files)
})

test('with storage in place no block is lost to what is taken over, protected, overridden or kept for a while', async (t) => {
  const b = await bench(t)
  const { blocks } = b.store
  const storage = createCheckoutStorage({ blocks })
  let nowMs = 1_800_000_000_000
  const clock = { ...systemClock, nowMs: () => nowMs }
  const versions: Awaited<ReturnType<typeof b.import>>[] = []
  const update = async (n: number, keepOldSeconds: number) => {
    fs.mkdirSync(b.at('source', 'mine'), { recursive: true })
    fs.writeFileSync(b.at('source', 'same'), noise(300_000))
    setTime(b.at('source', 'same'), OLD_SEC, 5)
    fs.writeFileSync(b.at('source', 'changing'), noise(200_000, n + 10))
    fs.writeFileSync(b.at('source', 'mine', 'file'), noise(150_000, n + 20))
    const version = await b.import(b.at('source'))
    versions.push(version)
    const { root } = version.snapshot
    const options = { root, dest: b.at('out'), replace: true, keepOldSeconds }
    const result = await checkOut({ blocks, clock, storage }, options)
    for (const [i, each] of versions.entries()) assert.equal(await missingOf(b, each), 0, `version ${i}`)
    return result
  }
  await update(0, 0)
  fs.writeFileSync(b.at('out', 'mine', 'PROTECTED'), '')
  fs.writeFileSync(b.at('out', 'mine', 'own'), 'of the users')
  const { overridden, reusedFiles } = await update(1, 600)
  assert.deepEqual(overridden.first, ['mine'])
  assert.equal(reusedFiles, 1)
  assert.equal(blocks.backings.list().length, 2, 'the old tree is there, and holds what it held')
  await update(2, 600)
  nowMs += 3_600_000
  await update(3, 0)
  assert.equal(fs.readFileSync(b.at('out', 'mine', 'own'), 'utf8'), 'of the users')
  assert.deepEqual(fs.readFileSync(b.at('out', 'mine', 'file')), noise(150_000, 20))
  assert.deepEqual(
    blocks.backings.list().map(({ path, alternative }) => [Buffer.from(path).toString(), alternative]),
    [[b.at('out'), undefined]],
  )
  assert.deepEqual(
    fs.readdirSync(b.dir).filter((name) => /^\.out\.mirrormesh-/.test(name)),
    [],
  )
})
