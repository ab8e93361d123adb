/** The stat cache beside attributes, holes and special files: what changes in them is seen, and nothing else is read. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { test } from 'node:test'
import type { Clock } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { encodeEntry } from '../../src/dag/entry.ts'
import { makeSpecial } from '../../src/posix/special.ts'
import { removeXattr, setXattr } from '../../src/posix/xattr.ts'
import type { ImportResult } from '../../src/tree/import/import.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { isUnchanged } from '../../src/tree/stat-cache/find-unchanged.ts'
import { openStatCaches } from '../../src/tree/stat-cache/stat-caches.ts'
import { createTestLogger } from '../replica/test-mesh.ts'
import { bench, isRoot, noise, setTime } from './trees.ts'

/** So far ahead that nothing on the disk is too young to be trusted. */
const laterClock: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + 3_600_000 }

const text = (value: string): Buffer => Buffer.from(value)

test('attributes, holes and special files are known by a stat, and each change of them is seen', async (t) => {
  const b = await bench(t)
  const caches = openStatCaches({ dir: b.at('cache'), log: createTestLogger() })
  const at = (...names: string[]): string => b.at('source', ...names)
  fs.mkdirSync(at('dir'), { recursive: true })
  for (const name of ['tagged', 'acl', 'large', 'plain'])
    fs.writeFileSync(at(name), noise(200_000, name.length))
  setXattr(text(at('tagged')), text('user.a'), text('1'))
  setXattr(text(at('dir')), text('user.dir'), text('1'))
  setXattr(text(at('large')), text('user.large'), noise(3000))
  execFileSync('setfacl', ['-m', 'u:12:r', at('acl')])
  fs.writeFileSync(at('sparse'), noise(65_536))
  fs.truncateSync(at('sparse'), 1_000_000)
  fs.writeFileSync(at('full'), Buffer.alloc(400_000))
  makeSpecial(text(at('fifo')), 'fifo', { major: 0, minor: 0 })
  makeSpecial(text(at('socket')), 'socket', { major: 0, minor: 0 })
  if (isRoot) {
    makeSpecial(text(at('null')), 'character-device', { major: 1, minor: 3 })
    makeSpecial(text(at('disk')), 'block-device', { major: 7, minor: 300_000 })
    fs.symlinkSync('nowhere', at('link'))
    setXattr(text(at('link')), text('trusted.a'), text('1'))
  }
  const files = ['tagged', 'acl', 'large', 'plain', 'sparse', 'full']

  /** Waits until what happens next has another ctime. */
  function letTheClockMove(): void {
    const touch = (): bigint => {
      fs.writeFileSync(b.at('probe'), '')
      return fs.lstatSync(b.at('probe'), { bigint: true }).ctimeNs
    }
    for (const start = touch(); touch() === start; );
  }
  async function importCached(): Promise<ImportResult> {
    letTheClockMove()
    const result = await importTree(
      { blocks: b.store.blocks, tempDir: b.at('tmp'), clock: laterClock },
      { path: b.at('source'), tree: 'test', statCaches: caches },
    )
    await result.cache?.keep(result.snapshotCid)
    letTheClockMove()
    return result
  }
  const isStill = (result: ImportResult): Promise<boolean> =>
    isUnchanged(
      { statCaches: caches, tempDir: b.at('tmp'), clock: laterClock },
      { path: b.at('source'), tree: 'test', snapshot: result.snapshotCid },
    )
  const keepTime = (name: string, work: () => void): void => {
    const { mtimeNs } = fs.lstatSync(at(name), { bigint: true })
    work()
    setTime(at(name), Number(mtimeNs / 10n ** 9n), Number(mtimeNs % 10n ** 9n))
  }
  /** A special file of another kind or number in the same place, with all that can be set as it was. */
  const renumber = (name: string, type: Parameters<typeof makeSpecial>[1], minor: number): void =>
    keepTime(name, () => {
      const { mode } = fs.lstatSync(at(name))
      fs.unlinkSync(at(name))
      makeSpecial(text(at(name)), type, { major: type === 'character-device' ? 1 : 7, minor })
      fs.chmodSync(at(name), mode & 0o7777)
    })

  // Reading shows in the atime, once that is older than the mtime.
  for (const name of files) keepTime(name, () => fs.utimesSync(at(name), 1, 1_000_000_000))
  let last = await importCached()
  const root = encodeEntry(last.snapshot.root)
  for (const name of files) keepTime(name, () => fs.utimesSync(at(name), 1, 1_000_000_000))
  last = await importCached()
  const atimes = (): number[] => files.map((name) => fs.lstatSync(at(name)).atimeMs)
  const before = atimes()
  assert.ok(await isStill(last))
  last = await importCached()
  assert.deepEqual(atimes(), before, 'nothing was read')
  assert.deepEqual(encodeEntry(last.snapshot.root), root)

  const changes: Record<string, () => void> = {
    'an attribute has another value': () => setXattr(text(at('tagged')), text('user.a'), text('2')),
    'an attribute goes': () => removeXattr(text(at('tagged')), text('user.a')),
    'an attribute in a block of its own changes': () =>
      setXattr(text(at('large')), text('user.large'), noise(3000, 2)),
    'an attribute of a folder changes': () => setXattr(text(at('dir')), text('user.dir'), text('2')),
    'an ACL changes, the mode does not': () => {
      execFileSync('setfacl', ['-x', 'u:12', at('acl')])
      execFileSync('setfacl', ['-n', '-m', 'u:13:r', at('acl')])
    },
    'zeros become a hole, the times are set back': () =>
      keepTime('full', () =>
        execFileSync('fallocate', ['--punch-hole', '--offset', '65536', '--length', '262144', at('full')]),
      ),
    'a fifo becomes a socket': () => renumber('fifo', 'socket', 0),
    ...(isRoot
      ? {
          'a device has another number': () => renumber('null', 'character-device', 5),
          'a block device has another number': () => renumber('disk', 'block-device', 300_001),
          'an attribute of a symbolic link changes': () =>
            setXattr(text(at('link')), text('trusted.a'), text('2')),
        }
      : {}),
  }
  for (const [what, change] of Object.entries(changes)) {
    assert.ok(await isStill(last), `before ${what}`)
    change()
    letTheClockMove()
    assert.ok(!(await isStill(last)), what)
    const cached = await importCached()
    assert.notDeepEqual(encodeEntry(cached.snapshot.root), encodeEntry(last.snapshot.root), what)
    last = cached
  }
  const plain = await b.import(b.at('source'))
  assert.deepEqual(encodeEntry(last.snapshot.root), encodeEntry(plain.snapshot.root))
  assert.ok(last.snapshot.index.equals(plain.snapshot.index))
})
