import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { eachHole } from '../../src/posix/holes.ts'
import { tryLock } from '../../src/posix/lock.ts'
import { readOwnerNames } from '../../src/posix/owners.ts'
import { exchange, renameNoReplace } from '../../src/posix/rename.ts'
import { makeSpecial, packDevice, unpackDevice } from '../../src/posix/special.ts'
import { syncFileSystem } from '../../src/posix/sync.ts'
import { setMtime, setMtimeOfFd } from '../../src/posix/times.ts'
import { getXattr, listXattrs, readXattrs, removeXattr, setXattr } from '../../src/posix/xattr.ts'
import { nativeZstd } from '../../src/posix/zstd.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-posix-'))
after(() => fs.rmSync(dir, { recursive: true, force: true }))
const at = (name: string): Buffer => Buffer.from(path.join(dir, name))
const mtimeNs = (file: Buffer): bigint => fs.lstatSync(file, { bigint: true }).mtimeNs

const isRoot = process.geteuid?.() === 0

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
    listXattrs(at('plain')).filter((name) => !Buffer.from(name).toString().startsWith('security.')),
    [],
  )
  assert.throws(() => listXattrs(at('absent')), { code: 'ENOENT' })
})

test('holes are found between data, at both ends and in a file of nothing else; a full file has none', () => {
  const holesOf = (name: string, size: number): number[][] => {
    const fd = fs.openSync(at(name), 'r')
    const holes: number[][] = []
    eachHole(fd, size, (startByte, endByte) => holes.push([startByte, endByte]))
    fs.closeSync(fd)
    return holes
  }
  const sparse = fs.openSync(at('sparse'), 'w')
  fs.ftruncateSync(sparse, 3_000_000)
  fs.writeSync(sparse, Buffer.alloc(65_536, 1), 0, 65_536, 1_048_576)
  fs.closeSync(sparse)
  assert.deepEqual(holesOf('sparse', 3_000_000), [
    [0, 1_048_576],
    [1_114_112, 3_000_000],
  ])
  fs.writeFileSync(at('hole'), '')
  fs.truncateSync(at('hole'), 2 ** 40)
  assert.deepEqual(holesOf('hole', 2 ** 40), [[0, 2 ** 40]])
  fs.writeFileSync(at('full'), Buffer.alloc(65_536, 1))
  assert.deepEqual(holesOf('full', 65_536), [])
})

test('attributes are set, read in order of names, and removed, by path and by descriptor', () => {
  const file = at('attributes')
  fs.writeFileSync(file, '')
  const fd = fs.openSync(file, 'r+')
  const name = (text: string): Buffer => Buffer.from(text)
  setXattr(file, name('user.b'), new Uint8Array())
  setXattr(fd, name('user.a'), Uint8Array.of(0, 255, 10))
  setXattr(fd, name('user.\xff'), name('x'.repeat(1000)))
  const read = (target: number | Buffer): unknown =>
    readXattrs(target, (_, error) => assert.fail(String(error)))
      .filter((attribute) => Buffer.from(attribute.name).toString().startsWith('user.'))
      .map((attribute) => [Buffer.from(attribute.name).toString('utf8'), attribute.value.length])
  const all = [
    ['user.a', 3],
    ['user.b', 0],
    ['user.\xff', 1000],
  ]
  assert.deepEqual(read(file), all)
  assert.deepEqual(read(fd), all)
  removeXattr(file, name('user.b'))
  removeXattr(fd, name('user.a'))
  removeXattr(fd, name('user.a'))
  assert.deepEqual(read(fd), all.slice(2))
  assert.equal(getXattr(fd, name('user.a')), undefined)
  fs.closeSync(fd)
  assert.throws(() => setXattr(at('absent'), name('user.a'), name('b')), { code: 'ENOENT' })
})

test('special files are made, and device numbers survive both ways', {
  skip: !isRoot && process.env.CI !== 'true' && 'needs root',
}, () => {
  for (const type of ['fifo', 'socket'] as const) makeSpecial(at(type), type, { major: 0, minor: 0 })
  assert.ok(fs.lstatSync(at('fifo')).isFIFO())
  assert.ok(fs.lstatSync(at('socket')).isSocket())
  for (const [major, minor] of [
    [1, 3],
    [259, 300_000],
    [4095, 1_048_575],
  ] as const) {
    makeSpecial(at(`device-${major}`), 'block-device', { major, minor })
    const { rdev } = fs.lstatSync(at(`device-${major}`), { bigint: true })
    assert.deepEqual(unpackDevice(rdev), { major, minor })
  }
  const large = { major: 0xffff_fffe, minor: 0xffff_fffd }
  assert.deepEqual(unpackDevice(packDevice(large)), large)
  assert.throws(() => makeSpecial(at('fifo'), 'fifo', { major: 0, minor: 0 }), { code: 'EEXIST' })
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

test("the decoder is the process's own zstd: two versions in one process would be mixed", () => {
  const [major, minor, patch] = process.versions.zstd!.split('.').map(Number)
  assert.equal(nativeZstd()?.version, (major! * 100 + minor!) * 100 + patch!)
})
