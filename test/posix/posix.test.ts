import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { firstHole } from '../../src/posix/holes.ts'
import { tryLock } from '../../src/posix/lock.ts'
import { readOwnerNames } from '../../src/posix/owners.ts'
import { exchange, renameNoReplace } from '../../src/posix/rename.ts'
import { syncFileSystem } from '../../src/posix/sync.ts'
import { setMtime, setMtimeOfFd } from '../../src/posix/times.ts'
import { listXattrs } from '../../src/posix/xattr.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-posix-'))
after(() => fs.rmSync(dir, { recursive: true, force: true }))
const at = (name: string): Buffer => Buffer.from(path.join(dir, name))
const mtimeNs = (file: Buffer): bigint => fs.lstatSync(file, { bigint: true }).mtimeNs

test('times are exact to the nanosecond, before 1970 and after 2106', () => {
  const file = at('times')
  fs.writeFileSync(file, '')
  for (const [sec, nsec] of [
    [1_700_000_000, 123_456_789],
    [0, 1],
    [-1, 999_999_999],
    [-2_000_000_000, 1],
    [4_294_967_296 + 5, 7],
  ] as const) {
    setMtime(file, sec, nsec)
    assert.equal(mtimeNs(file), BigInt(sec) * 1_000_000_000n + BigInt(nsec))
    const fd = fs.openSync(file, 'r')
    setMtimeOfFd(fd, sec + 1, nsec)
    fs.closeSync(fd)
    assert.equal(mtimeNs(file), BigInt(sec + 1) * 1_000_000_000n + BigInt(nsec))
  }
})

test('a symbolic link gets a time of its own, dangling or not', () => {
  const link = at('link')
  fs.symlinkSync('nowhere', link)
  setMtime(link, 12, 34)
  assert.equal(mtimeNs(link), 12_000_000_034n)
})

test('exchange swaps a directory and a file; a plain rename refuses to replace', () => {
  fs.mkdirSync(at('d'))
  fs.writeFileSync(at('f'), 'f')
  exchange(at('d'), at('f'))
  assert.ok(fs.statSync(at('f')).isDirectory())
  assert.equal(fs.readFileSync(at('d'), 'utf8'), 'f')
  assert.throws(() => renameNoReplace(at('d'), at('f')), { code: 'EEXIST', syscall: 'renameat2' })
  renameNoReplace(at('d'), at('new'))
  assert.equal(fs.readFileSync(at('new'), 'utf8'), 'f')
})

test('errors carry the name of their errno and a printable path; a path with NUL is refused', () => {
  const bad = Buffer.concat([at('none'), Buffer.from([0xff, 0x0a])])
  assert.throws(() => setMtime(bad, 0, 0), { code: 'ENOENT', errno: -2, path: /none\\xff\\x0a$/ })
  assert.throws(() => setMtime(Buffer.from('/tmp/a\0b'), 0, 0), { code: 'invalid' })
})

test('attributes are listed by name, and none is an empty list', () => {
  fs.writeFileSync(at('plain'), '')
  assert.deepEqual(
    listXattrs(at('plain')).filter((name) => !name.startsWith('security.')),
    [],
  )
  assert.throws(() => listXattrs(at('absent')), { code: 'ENOENT' })
})

test('the first hole of a sparse file is found; a full file has none', () => {
  const file = at('sparse')
  fs.writeFileSync(file, Buffer.alloc(65_536, 1))
  fs.truncateSync(file, 1_048_576)
  const sparse = fs.openSync(file, 'r')
  assert.ok(firstHole(sparse) < 1_048_576)
  fs.closeSync(sparse)
  fs.writeFileSync(at('full'), Buffer.alloc(65_536, 1))
  const full = fs.openSync(at('full'), 'r')
  assert.equal(firstHole(full), 65_536)
  fs.closeSync(full)
})

test('a lock is held by one descriptor until it is closed', () => {
  fs.mkdirSync(at('locked'))
  const first = fs.openSync(at('locked'), 'r')
  const second = fs.openSync(at('locked'), 'r')
  assert.equal(tryLock(first), true)
  assert.equal(tryLock(second), false)
  fs.closeSync(first)
  assert.equal(tryLock(second), true)
  fs.closeSync(second)
})

test('a file system is synced through any descriptor on it; a closed one is an error', () => {
  const fd = fs.openSync(dir, 'r')
  syncFileSystem(fd)
  fs.closeSync(fd)
  assert.throws(() => syncFileSystem(1_000_000), { code: 'EBADF' })
})

test('names of owners come from the two files, first line first', () => {
  fs.writeFileSync(at('passwd'), 'root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:\nbroken\nann:x:1000:1000:::\n')
  fs.writeFileSync(at('group'), 'wheel:x:10:ann\n')
  const names = readOwnerNames(path.join(dir, 'passwd'), path.join(dir, 'group'))
  assert.equal(names.user(0), 'root')
  assert.equal(names.user(1000), 'ann')
  assert.equal(names.user(7), undefined)
  assert.equal(names.group(10), 'wheel')
  assert.equal(readOwnerNames('/nonexistent', '/nonexistent').user(0), undefined)
})
