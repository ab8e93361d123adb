import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { makeSpecial } from '../../src/posix/special.ts'
import { removeXattr, setXattr } from '../../src/posix/xattr.ts'
import type { CompareOptions } from '../../src/tree/compare/compare.ts'
import { compareTree } from '../../src/tree/compare/compare.ts'
import type { ImportResult } from '../../src/tree/import/import.ts'
import type { Bench } from './trees.ts'
import { bench, isRoot, noise, setTime } from './trees.ts'

async function differences(
  b: Bench,
  { snapshot }: ImportResult,
  dir: string,
  options: Pick<CompareOptions, 'protect'> = {},
): Promise<string[]> {
  const found: string[] = []
  for await (const { path, kind, detail } of compareTree(
    { blocks: b.store.blocks, tempDir: b.dir },
    { root: snapshot.root, dir, ...options },
  )) {
    found.push(`${Buffer.from(path).toString('latin1')}: ${kind}: ${detail}`)
  }
  return found
}

test('a fresh check-out has no differences, and each kind of change is found at its path', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  fs.mkdirSync(b.at('source', 'dir'), { recursive: true })
  for (const name of ['same', 'gone', 'mode', 'time', 'shorter', 'other-type', 'linked']) {
    fs.writeFileSync(b.at('source', name), name)
  }
  fs.writeFileSync(b.at('source', 'stealth'), noise(600_000))
  fs.linkSync(b.at('source', 'linked'), b.at('source', 'dir', 'linked'))
  fs.symlinkSync('old', b.at('source', 'link'))
  const result = await b.import(source)
  const out = b.at('out')
  await b.checkOut(result, out)
  assert.deepEqual(await differences(b, result, out), [])

  const keepTime = (name: string, change: () => void): void => {
    const { mtimeNs } = fs.lstatSync(b.at('out', name), { bigint: true })
    change()
    setTime(b.at('out', name), Number(mtimeNs / 1_000_000_000n), Number(mtimeNs % 1_000_000_000n))
  }
  keepTime('.', () => {
    fs.rmSync(b.at('out', 'gone'))
    fs.chmodSync(b.at('out', 'mode'), 0o600)
    setTime(b.at('out', 'time'), 5, 6)
    keepTime('shorter', () => fs.writeFileSync(b.at('out', 'shorter'), 'short'))
    fs.rmSync(b.at('out', 'other-type'))
    fs.mkdirSync(b.at('out', 'other-type'))
    keepTime('stealth', () => {
      const fd = fs.openSync(b.at('out', 'stealth'), 'r+')
      fs.writeSync(fd, 'X', 599_999)
      fs.closeSync(fd)
    })
    keepTime('link', () => {
      fs.rmSync(b.at('out', 'link'))
      fs.symlinkSync('new', b.at('out', 'link'))
    })
    keepTime('linked', () => {
      fs.cpSync(b.at('out', 'linked'), b.at('out', 'copy'))
      fs.renameSync(b.at('out', 'copy'), b.at('out', 'linked'))
      setTime(b.at('out', 'linked'), 0, 0)
    })
    fs.writeFileSync(b.at('out', 'extra'), '')
  })
  const found = await differences(b, result, out)
  assert.deepEqual(
    found.map((line) => line.replace(/(mtime 5\.000000006).*/, '$1').replace(/chunk at byte \d+/, 'chunk')),
    [
      'extra: extra: not in the snapshot',
      'gone: missing: file',
      'link: content: another target',
      'linked: link: not a hard link of its group',
      'mode: metadata: mode 600 instead of 644',
      'other-type: type: directory instead of file',
      'shorter: content: 5 bytes instead of 7',
      'stealth: content: differs in the chunk',
      'time: metadata: mtime 5.000000006',
    ],
  )
})

test('a device of another number, changed attributes and lost holes are found', async (t) => {
  if (!isRoot && process.env.CI !== 'true') {
    t.skip('needs root')
    return
  }
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  makeSpecial(Buffer.from(b.at('source', 'device')), 'character-device', { major: 1, minor: 3 })
  makeSpecial(Buffer.from(b.at('source', 'pipe')), 'fifo', { major: 0, minor: 0 })
  fs.writeFileSync(b.at('source', 'tagged'), 'x')
  const name = (text: string): Buffer => Buffer.from(text)
  for (const [attribute, value] of [
    ['user.gone', '1'],
    ['user.other', '2'],
  ] as const) {
    setXattr(name(b.at('source', 'tagged')), name(attribute), name(value))
  }
  fs.writeFileSync(b.at('source', 'sparse'), '')
  fs.truncateSync(b.at('source', 'sparse'), 2_000_000)
  const result = await b.import(b.at('source'))
  await b.checkOut(result, b.at('out'), { devices: true })
  assert.deepEqual(await differences(b, result, b.at('out')), [])
  fs.rmSync(b.at('out', 'device'))
  makeSpecial(name(b.at('out', 'device')), 'character-device', { major: 1, minor: 5 })
  fs.rmSync(b.at('out', 'pipe'))
  makeSpecial(name(b.at('out', 'pipe')), 'socket', { major: 0, minor: 0 })
  removeXattr(name(b.at('out', 'tagged')), name('user.gone'))
  setXattr(name(b.at('out', 'tagged')), name('user.other'), name('3'))
  setXattr(name(b.at('out', 'tagged')), name('user.new'), name(''))
  fs.writeFileSync(b.at('out', 'sparse'), Buffer.alloc(2_000_000))
  assert.deepEqual(
    (await differences(b, result, b.at('out'))).filter((line) => !line.includes('mtime')),
    [
      'device: content: device 1:5 instead of 1:3',
      'pipe: type: socket instead of fifo',
      'sparse: metadata: its holes differ',
      'tagged: metadata: extended attributes: user.gone is missing, user.other differs, user.new is not in the snapshot',
    ],
  )
})

test('a missing root is one difference', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  const result = await b.import(b.at('source'))
  assert.deepEqual(await differences(b, result, b.at('absent')), [': missing: directory'])
})

test('what a check-out keeps for its users is told as protected, once, and is no difference', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source', 'dir', 'deep'), { recursive: true })
  fs.mkdirSync(b.at('source', 'upstream'))
  for (const name of ['a', 'dir/f1', 'dir/deep/f2', 'upstream/PROTECTED', 'upstream/f'])
    fs.writeFileSync(b.at('source', name), name)
  const result = await b.import(b.at('source'))
  const protect = ['dir/f1', 'notes/own.txt']
  await b.checkOut(result, b.at('out'), { protect })
  const compare = (protectedPaths?: readonly string[]) =>
    differences(b, result, b.at('out'), { protect: protectedPaths })
  const kept = 'protected: kept at each move of the check-out, and not compared'
  assert.deepEqual(await compare(protect), [`dir/f1: ${kept}`])
  fs.writeFileSync(b.at('out', 'dir', 'f1'), 'local')
  fs.mkdirSync(b.at('out', 'dir', 'deep', 'theirs', 'sub'), { recursive: true })
  fs.writeFileSync(b.at('out', 'dir', 'deep', 'theirs', 'PROTECTED'), '')
  fs.mkdirSync(b.at('out', 'notes', 'x', 'y', 'z'), { recursive: true })
  fs.writeFileSync(b.at('out', 'notes', 'own.txt'), 'mine')
  fs.writeFileSync(b.at('out', 'notes', 'x', 'y', 'z', 'PROTECTED'), '')
  fs.writeFileSync(b.at('out', 'notes', 'x', 'stray'), '')
  fs.writeFileSync(b.at('out', 'upstream', 'f'), 'changed upstream')
  const expected = [
    `dir/deep/theirs: ${kept}`,
    `dir/f1: ${kept}`,
    `notes/own.txt: ${kept}`,
    'notes/x/stray: extra: not in the snapshot',
    `notes/x/y/z: ${kept}`,
  ]
  const found = await compare(protect)
  assert.deepEqual(
    found.filter((line) => !line.startsWith('upstream/f:') && !line.startsWith(':')),
    expected,
  )
  assert.ok(
    found.some((line) => line.startsWith('upstream/f: content')),
    'the mark is upstream’s own',
  )
  // After a move: nothing but what is protected.
  await b.checkOut(result, b.at('out'), { replace: true })
  assert.deepEqual(
    (await compare(protect)).map((line) => line.replace(/: .*/, '')),
    ['dir/deep/theirs', 'dir/f1', 'notes/own.txt', 'notes/x/y/z'],
  )
  // A folder that is no check-out has no such thing.
  assert.ok((await compare()).every((line) => !line.includes('protected')))
  fs.writeFileSync(b.at('out', 'PROTECTED'), '')
  assert.ok((await compare(protect)).includes(`PROTECTED: ${kept}`))
})
