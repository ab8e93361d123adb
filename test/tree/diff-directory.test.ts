import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { test } from 'node:test'
import { itemize } from '../../src/dag/itemize.ts'
import { diff } from '../../src/dag/reader.ts'
import { removeXattr, setXattr } from '../../src/posix/xattr.ts'
import { compareTree } from '../../src/tree/compare/compare.ts'
import { diffDirectory } from '../../src/tree/compare/diff-directory.ts'
import type { ImportResult } from '../../src/tree/import/import.ts'
import { CASES } from './every-case.ts'
import type { Bench } from './trees.ts'
import { bench, isRoot, noise, setTime } from './trees.ts'

const hasRsync = spawnSync('rsync', ['--version']).status === 0

function lineOf(items: string, path: readonly Uint8Array[], isDirectory: boolean): string {
  const name = path.map((each) => Buffer.from(each).toString('latin1')).join('/') || '.'
  return `${items} ${name}${isDirectory ? '/' : ''}`
}

async function lines(b: Bench, from: ImportResult, checksum = false): Promise<string[]> {
  const found: string[] = []
  for await (const change of diffDirectory(
    { blocks: b.store.blocks, tempDir: b.dir },
    {
      root: from.snapshot.root,
      dir: Buffer.from(b.at('source')),
      checksum,
    },
  )) {
    found.push(
      lineOf(itemize(change, checksum), change.path, (change.after ?? change.before)?.type === 'directory'),
    )
  }
  return found
}

/** Edits of every kind that rsync tells apart. */
function edit(b: Bench): void {
  fs.appendFileSync(b.at('source', 'grown'), 'more')
  setTime(b.at('source', 'touched'), 1_700_000_001, 5)
  fs.chmodSync(b.at('source', 'mode'), 0o600)
  if (isRoot) fs.chownSync(b.at('source', 'owner'), 12, 34)
  fs.rmSync(b.at('source', 'gone'), { recursive: true })
  fs.mkdirSync(b.at('source', 'new'))
  fs.writeFileSync(b.at('source', 'new', 'file'), 'x')
  fs.symlinkSync('file', b.at('source', 'new', 'link'))
  fs.rmSync(b.at('source', 'link'))
  fs.symlinkSync('elsewhere', b.at('source', 'link'))
  setXattr(Buffer.from(b.at('source', 'attribute')), Buffer.from('user.a'), Buffer.from('2'))
  const { mtimeMs } = fs.lstatSync(b.at('source', 'quiet'))
  fs.writeFileSync(b.at('source', 'quiet'), 'QUIET')
  setTime(b.at('source', 'quiet'), Math.floor(mtimeMs / 1000), 0)
}

function fill(b: Bench): void {
  fs.mkdirSync(b.at('source', 'gone', 'deep'), { recursive: true })
  fs.writeFileSync(b.at('source', 'gone', 'deep', 'file'), 'x')
  fs.mkdirSync(b.at('source', 'same'))
  fs.writeFileSync(b.at('source', 'same', 'large'), noise(1_000_000))
  for (const name of ['grown', 'touched', 'mode', 'owner', 'quiet', 'attribute']) {
    fs.writeFileSync(b.at('source', name), 'quiet')
    setTime(b.at('source', name), 1_700_000_000, 0)
  }
  fs.symlinkSync('somewhere', b.at('source', 'link'))
}

test('a folder is itemised against a snapshot as rsync itemises it against the check-out', async (t) => {
  if (!hasRsync && process.env.CI !== 'true') {
    t.skip('needs rsync')
    return
  }
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fill(b)
  const first = await b.import(b.at('source'))
  await b.checkOut(first, b.at('out'), { owner: isRoot })
  assert.deepEqual(await lines(b, first), [])
  edit(b)
  const rsync = execFileSync(
    'rsync',
    ['-aHAXin', '--delete', '--modify-window=-1', `${b.at('source')}/`, `${b.at('out')}/`],
    { encoding: 'latin1' },
  )
  const theirs = rsync
    .split('\n')
    .filter(Boolean)
    .map((line) => line.replace(/ -> .*/, '').replace(/^(\S+)\s+\.\/$/, '$1 ./'))
    // The check-out's marker is not of the tree.
    .filter((line) => !line.includes('.mirrormesh'))
  const ours = await lines(b, first)
  assert.deepEqual(
    ours.toSorted(),
    theirs.map((line) => line.replace(/^(\*deleting)\s+/, '$1   ')).toSorted(),
  )
  assert.ok(ours.length >= 12, `${ours.length} changes`)
  assert.ok(!ours.some((line) => line.endsWith(' quiet')), 'size and time are as they were')
})

test('with --checksum bytes are compared, and a time alone is no change of content', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fill(b)
  const first = await b.import(b.at('source'))
  assert.deepEqual(await lines(b, first, true), [])
  edit(b)
  const ours = await lines(b, first, true)
  assert.ok(ours.includes('>fc........ quiet'), ours.join('\n'))
  assert.ok(ours.includes('.f..t...... touched'))
  assert.ok(ours.includes('>fcst...... grown'))
})

test('two snapshots are itemised by their hashes, and what became of another type is new', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fill(b)
  const first = await b.import(b.at('source'))
  edit(b)
  fs.rmSync(b.at('source', 'mode'))
  fs.mkdirSync(b.at('source', 'mode'))
  fs.linkSync(b.at('source', 'grown'), b.at('source', 'new', 'grown'))
  const second = await b.import(b.at('source'))
  const found: string[] = []
  for await (const change of diff(b.store.blocks, first.snapshot.root, second.snapshot.root)) {
    found.push(itemize(change, true) + Buffer.from(change.path.at(-1) ?? []).toString())
  }
  for (const line of [
    '>fc........quiet',
    '.f..t......touched',
    'cd+++++++++mode',
    '>fcst...h..grown',
    'cLc.t......link',
  ]) {
    assert.ok(found.includes(line), `${line} in\n${found.join('\n')}`)
  }
  assert.equal(found.filter((line) => line.startsWith('*deleting  ')).length, 3)
})

test('an empty tree has all of a folder new, and a folder that is not there is an error', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source', 'a'), { recursive: true })
  fs.writeFileSync(b.at('source', 'a', 'b'), '')
  const all: string[] = []
  for await (const change of diffDirectory(
    { blocks: b.store.blocks, tempDir: b.dir },
    { root: undefined, dir: Buffer.from(b.at('source')) },
  )) {
    all.push(itemize(change, false))
  }
  assert.deepEqual(all, ['cd+++++++++', 'cd+++++++++', '>f+++++++++'])
  await assert.rejects(
    async () => {
      for await (const _ of diffDirectory(
        { blocks: b.store.blocks, tempDir: b.dir },
        { root: undefined, dir: Buffer.from(b.at('absent')) },
      ));
    },
    { code: 'not-found', message: /absent/ },
  )
})

test('a folder too large to be listed at once is compared in order, to the end or not', async (t) => {
  const b = await bench(t)
  const nameOf = (index: number): string => `${index}`.padStart(40, '0')
  fs.mkdirSync(b.at('source'))
  for (let index = 0; index < 2500; index++) fs.writeFileSync(b.at('source', nameOf(index)), '')
  const imported = await b.import(b.at('source'))
  fs.rmSync(b.at('source', nameOf(7)))
  fs.writeFileSync(b.at('source', nameOf(1234)), 'more')
  fs.writeFileSync(b.at('source', `${nameOf(2000)}-new`), '')
  assert.deepEqual(
    (await lines(b, imported)).filter((line) => !line.endsWith(' ./')),
    [`*deleting   ${nameOf(7)}`, `>f.st...... ${nameOf(1234)}`, `>f+++++++++ ${nameOf(2000)}-new`],
  )
  const ports = { blocks: b.store.blocks, tempDir: b.dir }
  const kinds: string[] = []
  const { root } = imported.snapshot
  for await (const { kind, path } of compareTree(ports, { root, dir: b.at('source') })) {
    if (path.length > 0) kinds.push(`${kind} ${Buffer.from(path).toString()}`)
  }
  assert.deepEqual(kinds, [
    `missing ${nameOf(7)}`,
    `metadata ${nameOf(1234)}`,
    `content ${nameOf(1234)}`,
    `extra ${nameOf(2000)}-new`,
  ])

  const openFiles = (): number => fs.readdirSync('/proc/self/fd').length
  const before = openFiles()
  for (let round = 0; round < 5; round++) {
    let count = 0
    for await (const _ of diffDirectory(ports, { root, dir: Buffer.from(b.at('source')) })) {
      count += 1
      if (count === 2) break
    }
    for await (const { path } of compareTree(ports, { root, dir: b.at('source') })) if (path.length > 0) break
  }
  assert.equal(openFiles(), before)
})

const MAKER = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }

test('a folder of every case is as its snapshot says, and each link, attribute and hole that changes is told', async (t) => {
  const b = await bench(t)
  for (const [name, make] of Object.entries(CASES)) {
    fs.mkdirSync(b.at('source', name), { recursive: true })
    make(b.at('source', name), MAKER)
  }
  fs.mkdirSync(b.at('source', 'more', 'z'), { recursive: true })
  const at = (name: string): string => b.at('source', 'more', name)
  for (const name of ['alone', 'first', 'z/second', 'x', 'y', 'attributes', 'large', 'other', 'acl'])
    fs.writeFileSync(at(name), name)
  for (const [from, to] of [
    ['first', 'first-2'],
    ['z/second', 'z/second-2'],
    ['x', 'x-2'],
    ['x', 'x-3'],
  ] as const)
    fs.linkSync(at(from), at(to))
  // The mask of its ACL will be these group bits, so that its mode stays.
  fs.chmodSync(at('acl'), 0o644)
  fs.symlinkSync('x', at('symlink'))
  for (const name of ['attributes', 'large', 'other'])
    setXattr(Buffer.from(at(name)), Buffer.from('user.a'), Buffer.from('1'))
  fs.writeFileSync(at('holes'), noise(400_000))
  const isSame = async (from: ImportResult): Promise<void> => {
    assert.deepEqual(await lines(b, from), [])
    assert.deepEqual(await lines(b, from, true), [])
  }
  const keepTime = (name: string, work: (path: string) => void): void => {
    const { mtimeNs } = fs.lstatSync(at(name), { bigint: true })
    work(at(name))
    setTime(at(name), Number(mtimeNs / 10n ** 9n), Number(mtimeNs % 10n ** 9n))
  }
  const first = await b.import(b.at('source'))
  await isSame(first)

  // A group loses its first name, another gains an earlier one, one splits, two equal files become one.
  fs.renameSync(at('first'), b.at('outside'))
  fs.linkSync(at('z/second'), at('before-second'))
  keepTime('x-3', (path) => {
    fs.unlinkSync(path)
    fs.writeFileSync(path, 'x')
  })
  keepTime('y', () => undefined)
  fs.unlinkSync(at('z/second-2'))
  fs.linkSync(at('y'), at('z/second-2'))
  setXattr(Buffer.from(at('attributes')), Buffer.from('user.a'), Buffer.from('2'))
  setXattr(Buffer.from(at('large')), Buffer.from('user.large'), noise(3000))
  removeXattr(Buffer.from(at('other')), Buffer.from('user.a'))
  execFileSync('setfacl', ['-m', 'u:1234:r--', at('acl')])
  setXattr(Buffer.from(at('z')), Buffer.from('user.folder'), Buffer.from('1'))
  keepTime('holes', (path) => {
    const data = fs.readFileSync(path)
    data.fill(0, 65_536, 262_144)
    fs.writeFileSync(path, '')
    fs.truncateSync(path, data.length)
    const fd = fs.openSync(path, 'r+')
    fs.writeSync(fd, data, 0, 65_536, 0)
    fs.writeSync(fd, data, 262_144, data.length - 262_144, 262_144)
    fs.closeSync(fd)
  })
  const ours = await lines(b, first)
  const second = await b.import(b.at('source'))
  await isSame(second)
  const theirs: string[] = []
  for await (const change of diff(b.store.blocks, first.snapshot.root, second.snapshot.root)) {
    const name = Buffer.from(change.path.at(-1) ?? []).toString()
    // Its size and time are as they were; and the first of a new group is told by those that follow.
    const isQuiet = name === 'holes'
    if (name === 'y') continue
    const items = itemize(isQuiet ? { ...change, content: false } : change, false)
    theirs.push(lineOf(items, change.path, (change.after ?? change.before)?.type === 'directory'))
  }
  assert.deepEqual(ours.toSorted(), theirs.toSorted())
  for (const line of [
    '.f......h.. more/x-3',
    '.f.......a. more/acl',
    '.f........x more/attributes',
    '.f........x more/large',
    '.f........x more/other',
    '.f........x more/holes',
    '.f......h.. more/z/second',
    '>f+++++++++ more/before-second',
  ])
    assert.ok(ours.includes(line), `${line} in\n${ours.join('\n')}`)
})
