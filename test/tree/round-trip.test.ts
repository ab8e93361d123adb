import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { cidKey } from '../../src/block/cid.ts'
import { encodeEntry } from '../../src/dag/entry.ts'
import { closure, listPages, readPage, walk } from '../../src/dag/reader.ts'
import { makeSpecial } from '../../src/posix/special.ts'
import { setXattr } from '../../src/posix/xattr.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import type { Bench } from './trees.ts'
import { bench, bytesPath, describeTree, isRoot, noise, setTime } from './trees.ts'

/** Import, check out, import again: the trees look the same and the roots are the same. */
async function roundTrip(b: Bench, source: string, dest = b.at('out')): Promise<void> {
  const first = await b.import(source)
  assert.deepEqual(first.uncaptured, { count: 0, first: [] })
  const written = await b.checkOut(first, dest)
  assert.deepEqual(written.notRestored, { count: 0, first: [] })
  assert.equal(written.files, first.files)
  assert.deepEqual(describeTree(dest), describeTree(source))
  const second = await b.import(dest)
  assert.deepEqual(
    Buffer.from(encodeEntry(second.snapshot.root)),
    Buffer.from(encodeEntry(first.snapshot.root)),
  )
  assert.ok(second.snapshot.index.equals(first.snapshot.index))
  assert.equal(second.newBlocks, 1, 'only the snapshot itself is new')
}

test('names of any bytes survive: no UTF-8, newline, NFC and NFD twins, leading dash, 255 bytes', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  fs.mkdirSync(source)
  const names = [
    Buffer.from([0xff, 0xfe, 0x80]),
    Buffer.from([0xff, 0xfe, 0x81]),
    Buffer.from('line\nbreak\r\t\x1b[31m'),
    Buffer.from('caf\u00e9'),
    Buffer.from('cafe\u0301'),
    Buffer.from('-rf'),
    Buffer.from(' trailing . '),
    Buffer.from('back\\slash%2f'),
    Buffer.from('x'.repeat(255)),
    Buffer.from([1]),
    Buffer.from('A'),
    Buffer.from('a'),
    Buffer.from('\u{1f980}'),
  ]
  for (const [index, name] of names.entries()) fs.writeFileSync(bytesPath(source, name), `file ${index}`)
  const inner = bytesPath(source, Buffer.from([0x64, 0xe9]))
  fs.mkdirSync(inner)
  fs.writeFileSync(Buffer.concat([inner, Buffer.from([0x2f, 0xe9])]), 'inner')
  fs.symlinkSync(Buffer.from([0xe9, 0x0a]), Buffer.concat([inner, Buffer.from('/link')]))
  await roundTrip(b, source)
})

test('times survive to the nanosecond, before 1970 and after 2106, of files, links and directories', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  fs.mkdirSync(path.join(source, 'dir'), { recursive: true })
  fs.writeFileSync(path.join(source, 'old'), 'x')
  fs.writeFileSync(path.join(source, 'late'), 'x')
  fs.writeFileSync(path.join(source, 'dir', 'zero'), '')
  fs.symlinkSync('old', path.join(source, 'link'))
  setTime(path.join(source, 'old'), -1_000_000_000, 999_999_999)
  setTime(path.join(source, 'late'), 4_294_967_300, 123_456_789)
  setTime(path.join(source, 'dir', 'zero'), 0, 0)
  setTime(path.join(source, 'link'), 1_600_000_000, 1)
  setTime(path.join(source, 'dir'), -1, 5)
  setTime(source, 1_234_567_890, 987_654_321)
  await roundTrip(b, source)
})

test('links survive: dangling, absolute, looping, long; hard links across directories, also of a symlink', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  fs.mkdirSync(path.join(source, 'a', 'b'), { recursive: true })
  fs.mkdirSync(path.join(source, 'z'))
  fs.symlinkSync('nowhere', path.join(source, 'dangling'))
  fs.symlinkSync('/etc/passwd', path.join(source, 'absolute'))
  fs.symlinkSync('loop', path.join(source, 'loop'))
  fs.symlinkSync('../../..', path.join(source, 'up'))
  fs.symlinkSync('y'.repeat(4095), path.join(source, 'long'))
  fs.writeFileSync(path.join(source, 'a', 'b', 'one'), noise(200_000))
  fs.linkSync(path.join(source, 'a', 'b', 'one'), path.join(source, 'z', 'two'))
  fs.linkSync(path.join(source, 'a', 'b', 'one'), path.join(source, 'three'))
  fs.linkSync(path.join(source, 'dangling'), path.join(source, 'z', 'dangling'))
  fs.writeFileSync(path.join(source, 'empty'), '')
  fs.linkSync(path.join(source, 'empty'), path.join(source, 'z', 'empty'))
  await roundTrip(b, source)
})

test('equal files that are not linked stay apart, and a link to a name outside the tree makes no group', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  fs.mkdirSync(source)
  for (const name of ['one', 'two']) fs.writeFileSync(path.join(source, name), 'same')
  for (const name of ['empty-1', 'empty-2']) fs.writeFileSync(path.join(source, name), '')
  fs.writeFileSync(b.at('outside'), 'shared')
  fs.linkSync(b.at('outside'), path.join(source, 'shared'))
  const { snapshot } = await b.import(source)
  for await (const { entry } of walk(b.store.blocks, snapshot.root)) assert.ok(!('link' in entry))
  await roundTrip(b, source)
})

test('modes survive: 0000, setuid, setgid, sticky, directories without write permission', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  fs.mkdirSync(path.join(source, 'closed', 'inner'), { recursive: true })
  fs.mkdirSync(path.join(source, 'empty'))
  for (const mode of [0o000, 0o4755, 0o2755, 0o1644, 0o6711, 0o777, 0o400]) {
    const file = path.join(source, 'closed', 'inner', mode.toString(8))
    fs.writeFileSync(file, `mode ${mode}`)
    fs.chmodSync(file, mode)
  }
  fs.chmodSync(path.join(source, 'empty'), 0o3777)
  fs.chmodSync(path.join(source, 'closed', 'inner'), 0o555)
  fs.chmodSync(path.join(source, 'closed'), 0o500)
  if (!isRoot) fs.rmSync(path.join(source, 'closed', 'inner', '0'), { force: true })
  await roundTrip(b, source)
})

test('owners survive for root, a setuid file of another user included', async (t) => {
  if (!isRoot && process.env.CI !== 'true') {
    t.skip('needs root')
    return
  }
  const b = await bench(t)
  const source = b.at('source')
  fs.mkdirSync(source)
  for (const [name, uid, gid, mode] of [
    ['plain', 1234, 4321, 0o644],
    ['suid', 65_534, 70_000, 0o6755],
    ['huge', 4_000_000_000, 0, 0o600],
  ] as const) {
    fs.writeFileSync(path.join(source, name), name)
    fs.chownSync(path.join(source, name), uid, gid)
    fs.chmodSync(path.join(source, name), mode)
  }
  fs.symlinkSync('plain', path.join(source, 'link'))
  fs.lchownSync(path.join(source, 'link'), 5, 6)
  fs.chownSync(source, 77, 88)
  await roundTrip(b, source)
})

test('sizes around the limits of the chunker survive, and a file over several batches', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  fs.mkdirSync(source)
  const { minBytes, avgBytes, maxBytes } = DEFAULT_CHUNKER
  for (const limit of [1, minBytes, avgBytes, maxBytes, 4 * 1024 * 1024]) {
    for (const size of [limit - 1, limit, limit + 1]) {
      fs.writeFileSync(path.join(source, `random-${size}`), noise(size, size))
      fs.writeFileSync(path.join(source, `zeros-${size}`), Buffer.alloc(size))
    }
  }
  fs.writeFileSync(path.join(source, 'large'), noise(21_000_001, 9))
  await roundTrip(b, source)
})

test('a tree may be an empty directory, one file, one empty file or one symbolic link', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('empty'))
  fs.writeFileSync(b.at('file'), noise(300_000), { mode: 0o640 })
  fs.writeFileSync(b.at('nothing'), '')
  fs.symlinkSync('anywhere', b.at('link'))
  for (const name of ['empty', 'file', 'nothing', 'link']) await roundTrip(b, b.at(name), b.at(`out-${name}`))
})

test('the index lists exactly the closure, in its order, and one page serves two imports', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  for (let dir = 0; dir < 20; dir++) {
    fs.mkdirSync(path.join(source, `d${dir}`), { recursive: true })
    for (let file = 0; file < 40; file++) {
      fs.writeFileSync(path.join(source, `d${dir}`, `f${file}`), noise(100 + file * 13, dir * 7 + (file % 5)))
    }
  }
  fs.writeFileSync(path.join(source, 'd3', 'large'), noise(9_000_000))
  for (const name of ['d3/large', 'd4', 'd5', 'd6/f7', '.']) {
    setXattr(Buffer.from(path.join(source, name)), Buffer.from('user.large'), noise(1500, name.length))
  }
  fs.truncateSync(path.join(source, 'd7', 'f7'), 5_000_000)
  const { snapshot } = await b.import(source, { workers: 2 })
  const indexed: string[] = []
  for await (const { cid } of listPages(b.store.blocks, snapshot.index)) {
    for (const block of (await readPage(b.store.blocks, cid)).blocks) indexed.push(cidKey(block.cid))
  }
  const reached = new Set<string>()
  for await (const { cid } of closure(b.store.blocks, snapshot.root)) reached.add(cidKey(cid))
  assert.deepEqual(indexed, [...reached])
  assert.equal(snapshot.counts.blocks, indexed.length)
  const again = await b.import(source, { workers: 1 })
  assert.ok(again.snapshot.index.equals(snapshot.index))
})

test('blocks that no pack can be read for come from the store itself', async (t) => {
  const b = await bench(t, createMemoryStore())
  fs.mkdirSync(b.at('source'))
  fs.writeFileSync(b.at('source', 'large'), noise(10_000_000))
  fs.writeFileSync(b.at('source', 'small'), 'small')
  await roundTrip(b, b.at('source'))
})

test('no workers asked for means one, never an empty check-out', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fs.writeFileSync(b.at('source', 'file'), 'x')
  await b.checkOut(await b.import(b.at('source'), { workers: 0 }), b.at('out'), { workers: 0 })
  assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('source')))
})

test('cp -a and a check-out make the same tree', async (t) => {
  const b = await bench(t)
  const source = path.resolve(import.meta.dirname, '../../src')
  execFileSync('cp', ['-a', source, b.at('copy')])
  await b.checkOut(await b.import(source), b.at('out'))
  assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('copy')))
})

type Node =
  | {
      kind: 'file'
      size: number
      seed: number
      mode: number
      sec: number
      nsec: number
      holes: readonly number[]
      attributes: readonly Uint8Array[]
    }
  | { kind: 'fifo'; mode: number }
  | { kind: 'symlink'; target: Uint8Array }
  | { kind: 'link'; pick: number }
  | { kind: 'dir'; children: [Uint8Array, Node][] }

const name = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .map((bytes) => bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x5f : byte)))
  .filter((bytes) => !['.', '..'].includes(Buffer.from(bytes).toString('latin1')))
const { node } = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.record({
      kind: fc.constant('file' as const),
      size: fc.oneof(
        fc.constant(0),
        fc.integer({ min: 1, max: 2000 }),
        fc.integer({ min: 30_000, max: 700_000 }),
      ),
      seed: fc.integer({ min: 1, max: 4 }),
      mode: fc.integer({ min: 0o400, max: 0o777 }).map((mode) => mode | 0o400),
      sec: fc.integer({ min: -(2 ** 31), max: 2 ** 33 }),
      nsec: fc.integer({ min: 0, max: 999_999_999 }),
      // Ends of data and holes by turns, after what `size` gives.
      holes: fc.oneof(
        { weight: 3, arbitrary: fc.constant([]) },
        {
          weight: 1,
          arbitrary: fc.array(fc.integer({ min: 1, max: 2_000_000 }), { minLength: 1, maxLength: 4 }),
        },
      ),
      attributes: fc.array(fc.uint8Array({ maxLength: 1200 }), { maxLength: 2 }),
    }),
    fc.record({ kind: fc.constant('fifo' as const), mode: fc.integer({ min: 0, max: 0o777 }) }),
    fc.record({ kind: fc.constant('symlink' as const), target: name }),
    fc.record({ kind: fc.constant('link' as const), pick: fc.nat() }),
    fc.record({
      kind: fc.constant('dir' as const),
      children: fc.array(fc.tuple(name, tie('node')), { maxLength: 8 }),
    }),
  ),
}))

function make(at: Buffer, what: Node, files: Buffer[]): void {
  if (what.kind === 'dir') {
    fs.mkdirSync(at)
    const seen = new Set<string>()
    for (const [childName, child] of what.children) {
      const key = Buffer.from(childName).toString('latin1')
      if (seen.has(key)) continue
      seen.add(key)
      make(Buffer.concat([at, Buffer.from('/'), childName]), child, files)
    }
  } else if (what.kind === 'symlink') fs.symlinkSync(Buffer.from(what.target), at)
  else if (what.kind === 'link' && files.length > 0) fs.linkSync(files[what.pick % files.length]!, at)
  else if (what.kind === 'fifo') {
    makeSpecial(at, 'fifo', { major: 0, minor: 0 })
    fs.chmodSync(at, what.mode)
    files.push(at)
  } else {
    const { size, seed, mode, sec, nsec, holes, attributes } =
      what.kind === 'file'
        ? what
        : { size: 3, seed: 1, mode: 0o600, sec: 1, nsec: 1, holes: [], attributes: [] }
    fs.writeFileSync(at, noise(size, seed))
    let end = size
    for (const [index, length] of holes.entries()) {
      end += length
      if (index % 2 === 0) fs.truncateSync(at, end)
      else fs.appendFileSync(at, noise(length, seed))
    }
    for (const [index, value] of attributes.entries()) setXattr(at, Buffer.from(`user.${index}`), value)
    fs.chmodSync(at, mode)
    setTime(at, sec, nsec)
    files.push(at)
  }
}

test('any tree survives the round trip', async (t) => {
  const b = await bench(t)
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      node.filter(({ kind }) => kind !== 'fifo'),
      async (what) => {
        const dir = b.at(`run-${run++}`)
        fs.mkdirSync(dir)
        make(Buffer.from(path.join(dir, 'source')), what, [])
        await roundTrip(b, path.join(dir, 'source'), path.join(dir, 'out'))
      },
    ),
    { numRuns: 12, endOnFailure: true },
  )
})
