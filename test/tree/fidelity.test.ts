/** The judges' word on check-outs of every case, as root and as an ordinary user. Needs root, rsync, acl and setcap. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { encodeEntry } from '../../src/dag/entry.ts'
import { makeSpecial } from '../../src/posix/special.ts'
import { getXattr, setXattr } from '../../src/posix/xattr.ts'
import { compareTree } from '../../src/tree/compare/compare.ts'
import { makeEveryCase } from './every-case.ts'
import { manifestDifferences, missingPrograms, rsyncChanges } from './judge.ts'
import type { Bench } from './trees.ts'
import { bench, isRoot } from './trees.ts'

/** struct vfs_cap_data, version 2: cap_net_raw, permitted and effective. */
const CAP_NET_RAW = Buffer.from('0100000200200000000000000000000000000000', 'hex')

function canJudge(t: TestContext): boolean {
  const missing = missingPrograms()
  if (process.env.CI === 'true' || (isRoot && missing.length === 0)) return true
  t.skip(isRoot ? `not installed: ${missing.join(', ')} (scripts/test-programs)` : 'needs root')
  return false
}

/** What is made below it would get an ACL, another group and setgid. */
function lendingFolder(b: Bench): string {
  const dir = b.at('lending')
  fs.mkdirSync(dir)
  fs.chownSync(dir, 0, 4321)
  fs.chmodSync(dir, 0o2777)
  execFileSync('setfacl', ['-d', '-m', 'u:1234:rwx,g:77:rwx,m::rwx', dir])
  return dir
}

test('as root every case comes back exactly, also where the destination lends ACLs, group and setgid', async (t) => {
  if (!canJudge(t)) return
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  const source = b.at('source', 'tree')
  makeEveryCase(source, { uid: 0, gid: 0 })
  const first = await b.import(source)
  assert.deepEqual(first.uncaptured, { count: 0, first: [] })
  const dest = `${lendingFolder(b)}/out`
  const { counts } = first.snapshot
  const { notRestored } = await b.checkOut(first, dest, { devices: true, counts })
  assert.deepEqual(notRestored, { count: 0, first: [] })
  assert.equal(rsyncChanges(source, dest), '')
  assert.deepEqual(manifestDifferences(source, dest), [])
  const differences: string[] = []
  for await (const { path, kind, detail } of compareTree(
    { blocks: b.store.blocks, tempDir: b.dir },
    { root: first.snapshot.root, dir: dest },
  )) {
    differences.push(`${Buffer.from(path)}: ${kind}: ${detail}`)
  }
  assert.deepEqual(differences, [])
  const second = await b.import(dest)
  assert.ok(Buffer.from(encodeEntry(second.snapshot.root)).equals(encodeEntry(first.snapshot.root)))
  assert.equal(second.newBlocks, 1, 'only the snapshot itself is new')
})

test('without consent each device is reported and not made, its other names too; all else is exact', async (t) => {
  if (!canJudge(t)) return
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  const source = b.at('source', 'tree')
  makeEveryCase(source, { uid: 0, gid: 0 })
  const { notRestored } = await b.checkOut(await b.import(source), b.at('out'))
  const devices = ['links/a/zero', 'links/z/zero', 'types/disk', 'types/null']
  assert.deepEqual(notRestored.first.map(({ path }) => path).sort(), devices)
  for (const { reason } of notRestored.first)
    assert.match(reason, /device is not created: the site has to agree/)
  assert.deepEqual(
    rsyncChanges(source, b.at('out'))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(' ')[1])
      .sort(),
    devices,
  )
})

test('as an ordinary user every case that a user can make comes back exactly', async (t) => {
  if (!canJudge(t)) return
  const b = await bench(t)
  fs.chmodSync(b.dir, 0o755)
  fs.chownSync(lendingFolder(b), 12_345, 4321)
  const dir = b.at('user')
  fs.mkdirSync(dir)
  fs.renameSync(b.at('lending'), `${dir}/lending`)
  fs.chownSync(dir, 12_345, 23_456)
  const script = new URL('./fidelity-as-user.ts', import.meta.url).pathname
  const said: unknown = JSON.parse(
    execFileSync(process.execPath, [script, dir, '12345', '23456', '34567'], { encoding: 'utf8' }),
  )
  assert.deepEqual(said, {
    uncaptured: { count: 0, first: [] },
    notRestored: { count: 0, first: [] },
    rsync: '',
    manifest: [],
    isSameRoot: true,
  })
})

test('what an ordinary user cannot set of a tree of root is captured, and reported by path and reason', async (t) => {
  if (!canJudge(t)) return
  const b = await bench(t)
  fs.chmodSync(b.dir, 0o755)
  const at = (name: string): string => b.at('source', name)
  fs.mkdirSync(b.at('source'), { mode: 0o755 })
  for (const name of ['capable', 'setuid', 'tagged']) fs.writeFileSync(at(name), name, { mode: 0o755 })
  setXattr(Buffer.from(at('capable')), Buffer.from('security.capability'), CAP_NET_RAW)
  setXattr(Buffer.from(at('tagged')), Buffer.from('user.tag'), Buffer.from('x'))
  fs.chmodSync(at('setuid'), 0o4755)
  makeSpecial(Buffer.from(at('null')), 'character-device', { major: 1, minor: 3 })
  fs.linkSync(at('null'), at('null-2'))
  makeSpecial(Buffer.from(at('pipe')), 'fifo', { major: 0, minor: 0 })
  fs.mkdirSync(b.at('user'))
  fs.chownSync(b.at('user'), 12_345, 12_345)
  const script = new URL('./checkout-as-user.ts', import.meta.url).pathname
  const said = JSON.parse(
    execFileSync(process.execPath, [script, b.at('source'), b.at('user'), '12345'], { encoding: 'utf8' }),
  ) as { uncaptured: unknown; notRestored: { count: number; first: { path: string; reason: string }[] } }
  assert.deepEqual(said.uncaptured, { count: 0, first: [] })
  const owner = 'its owner 0:0 is not set: that takes root'
  assert.deepEqual(said.notRestored.first.map(({ path, reason }) => `${path}: ${reason}`).sort(), [
    `.: ${owner}`,
    'capable: its extended attribute security.capability is not set: permission denied (EPERM)',
    `capable: ${owner}`,
    'null-2: the character-device is not created: permission denied (EPERM)',
    'null: the character-device is not created: permission denied (EPERM)',
    `pipe: ${owner}`,
    `setuid: ${owner}`,
    'setuid: setuid or setgid is not set, because its owner is not',
    `tagged: ${owner}`,
  ])
  assert.equal(fs.statSync(b.at('user', 'out', 'setuid')).mode & 0o7777, 0o755)
  const tag = getXattr(Buffer.from(b.at('user', 'out', 'tagged')), Buffer.from('user.tag'))
  assert.equal(Buffer.from(tag ?? []).toString(), 'x')
})
