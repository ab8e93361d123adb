import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareTree } from '../../src/tree/compare/compare.ts'
import type { ImportResult } from '../../src/tree/import/import.ts'
import { readMarker } from '../../src/tree/manifest/checkout-marker.ts'
import type { Bench } from './trees.ts'
import { bench, describeTree, isRoot, setTime } from './trees.ts'

const OLD_SEC = 1_000_000_000

/** Every file as it is: its time lies well in the past, as a source's does. */
function write(b: Bench, name: string, content: string, sec = OLD_SEC): void {
  fs.writeFileSync(b.at(name), content)
  setTime(b.at(name), sec, 5)
}

function makeTree(b: Bench): void {
  fs.mkdirSync(b.at('source', 'dir', 'deep'), { recursive: true })
  for (let i = 0; i < 20; i++) write(b, `source/dir/f${i}`, `content ${i}`)
  for (let i = 0; i < 5; i++) write(b, `source/dir/deep/g${i}`, `deep ${i}`)
  write(b, 'source/empty', '')
  write(b, 'source/large', 'x'.repeat(9 * 1024 * 1024))
  fs.symlinkSync('dir/f1', b.at('source', 'link'))
}

function inodeOf(b: Bench, ...names: string[]): bigint {
  return fs.lstatSync(b.at(...names), { bigint: true }).ino
}

async function isSameAs(b: Bench, version: ImportResult, dest = 'out'): Promise<void> {
  const { root } = version.snapshot
  for await (const { path, kind, detail } of compareTree(
    { blocks: b.store.blocks, tempDir: b.dir },
    { root, dir: b.at(dest) },
  )) {
    assert.fail(`${Buffer.from(path).toString('latin1')}: ${kind} ${detail}`)
  }
  assert.deepEqual(describeTree(b.at(dest)), describeTree(b.at('source')))
}

test('an update takes over what is unchanged, writes what changed, and does so again and again', async (t) => {
  const b = await bench(t)
  makeTree(b)
  const first = await b.checkOut(await b.import(b.at('source')), b.at('out'))
  assert.equal(first.reusedFiles, 0)
  for (let round = 0; round < 4; round++) {
    const before = inodeOf(b, 'out', 'dir', 'f2')
    const changedBefore = inodeOf(b, 'out', 'dir', 'f1')
    write(b, 'source/dir/f1', `changed ${round}`, OLD_SEC + round)
    write(b, 'source/dir/deep/g1', `changed ${round}`, OLD_SEC + round)
    write(b, `source/dir/new${round}`, 'new')
    fs.unlinkSync(b.at('source', 'dir', `f${10 + round}`))
    const version = await b.import(b.at('source'))
    const { files, reusedFiles, bytes } = await b.checkOut(version, b.at('out'), { replace: true })
    assert.equal(files - reusedFiles, 3, 'three files were written')
    assert.equal(bytes, 2 * 'changed 0'.length + 3)
    assert.equal(inodeOf(b, 'out', 'dir', 'f2'), before)
    assert.notEqual(inodeOf(b, 'out', 'dir', 'f1'), changedBefore)
    assert.equal(fs.statSync(b.at('out', 'dir', 'f2')).nlink, 1, 'the old tree is gone')
    await isSameAs(b, version)
  }
})

test('files that were touched in a check-out are written anew; of a moved ctime the content is compared', async (t) => {
  const b = await bench(t)
  makeTree(b)
  const version = await b.import(b.at('source'))
  await b.checkOut(version, b.at('out'))
  const out = (name: string): string => b.at('out', 'dir', name)
  const kept = inodeOf(b, 'out', 'dir', 'f9')
  const edits: ((path: string) => void)[] = [
    (path) => fs.appendFileSync(path, 'more'),
    (path) => fs.truncateSync(path, 3),
    // Same size, and the time set back: only the ctime tells.
    (path) => {
      fs.writeFileSync(path, 'CONTENT X')
      setTime(path, OLD_SEC, 5)
    },
    (path) => fs.chmodSync(path, 0o600),
    (path) => {
      const other = `${path}.tmp`
      fs.copyFileSync(path, other)
      setTime(other, OLD_SEC, 5)
      fs.renameSync(other, path)
    },
    (path) => fs.unlinkSync(path),
    (path) => {
      fs.unlinkSync(path)
      fs.symlinkSync('f9', path)
    },
    (path) => {
      fs.unlinkSync(path)
      fs.mkdirSync(path)
    },
    (path) => fs.linkSync(path, b.at('outside')),
  ]
  edits.forEach((edit, index) => {
    edit(out(`f${index}`))
  })
  const outside = fs.statSync(b.at('outside')).ino
  // Changed and changed back: it may be what it was.
  fs.writeFileSync(out('f9'), 'content 9')
  setTime(out('f9'), OLD_SEC, 5)
  fs.rmSync(b.at('out', 'dir', 'deep'), { recursive: true })
  fs.symlinkSync(b.at('source', 'dir', 'deep'), b.at('out', 'dir', 'deep'))
  const { files, reusedFiles } = await b.checkOut(version, b.at('out'), { replace: true })
  await isSameAs(b, version)
  assert.equal(files - reusedFiles, edits.length + 5)
  assert.equal(inodeOf(b, 'out', 'dir', 'f9'), kept, 'read, found the same, and taken over')
  assert.notEqual(fs.statSync(out('f8')).ino, outside, 'what has a name elsewhere is not ours alone')
  const again = await b.checkOut(version, b.at('out'), { replace: true })
  assert.equal(again.reusedFiles, again.files)
})

test('equal content with other metadata is written anew: no inode that readers have is ever changed', async (t) => {
  const b = await bench(t)
  makeTree(b)
  await b.checkOut(await b.import(b.at('source')), b.at('out'))
  const reader = fs.openSync(b.at('out', 'dir', 'f1'), 'r')
  t.after(() => fs.closeSync(reader))
  const before = fs.fstatSync(reader)
  fs.chmodSync(b.at('source', 'dir', 'f1'), 0o600)
  setTime(b.at('source', 'dir', 'f2'), OLD_SEC + 1, 0)
  const version = await b.import(b.at('source'))
  const { files, reusedFiles } = await b.checkOut(version, b.at('out'), { replace: true })
  assert.equal(files - reusedFiles, 2)
  assert.equal(fs.fstatSync(reader).mode, before.mode)
  assert.equal(fs.readFileSync(reader, 'utf8'), 'content 1', 'an open file goes on')
  await isSameAs(b, version)
})

test('hard-link groups come out as the snapshot has them when they split, join, grow and lose their first name', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  const link = (from: string, to: string): void => fs.linkSync(b.at('source', from), b.at('source', to))
  write(b, 'source/a', 'group')
  link('a', 'b')
  link('a', 'c')
  write(b, 'source/x', 'group')
  write(b, 'source/y', 'group')
  const steps: (() => void)[] = [
    () => undefined,
    () => undefined,
    () => {
      fs.unlinkSync(b.at('source', 'c'))
      write(b, 'source/c', 'group')
    },
    () => {
      fs.unlinkSync(b.at('source', 'y'))
      link('x', 'y')
    },
    () => link('a', 'd'),
    () => fs.unlinkSync(b.at('source', 'a')),
    () => {
      fs.unlinkSync(b.at('source', 'x'))
      link('b', 'x')
    },
  ]
  for (const step of steps) {
    step()
    const version = await b.import(b.at('source'))
    await b.checkOut(version, b.at('out'), { replace: true })
    await isSameAs(b, version)
  }
})

test('a damaged or missing manifest costs time, never a byte', async (t) => {
  const b = await bench(t)
  makeTree(b)
  const version = await b.import(b.at('source'))
  await b.checkOut(version, b.at('out'))
  const manifest = (): string => b.at(fs.readdirSync(b.dir).find((name) => name.includes('.files-'))!)
  const damages: ((path: string) => void)[] = [
    (path) => fs.unlinkSync(path),
    (path) => fs.truncateSync(path, 40),
    (path) => {
      const bytes = fs.readFileSync(path)
      bytes[bytes.length - 200]! ^= 1
      fs.writeFileSync(path, bytes)
    },
    (path) => fs.writeFileSync(path, 'something else'),
  ]
  for (const damage of damages) {
    damage(manifest())
    const { reusedFiles } = await b.checkOut(version, b.at('out'), { replace: true })
    assert.equal(reusedFiles, 0)
    await isSameAs(b, version)
  }
})

test('what users made without protection is named and goes; what they protected stays', async (t) => {
  const b = await bench(t)
  makeTree(b)
  await b.checkOut(await b.import(b.at('source')), b.at('out'), { protect: ['dir/f3', 'notes/own.txt'] })
  fs.mkdirSync(b.at('out', 'notes'))
  fs.writeFileSync(b.at('out', 'notes', 'own.txt'), 'mine')
  fs.writeFileSync(b.at('out', 'notes', 'stray'), 'x')
  fs.writeFileSync(b.at('out', 'dir', 'f3'), 'local configuration')
  fs.writeFileSync(b.at('out', 'dir', 'stray'), 'x')
  fs.mkdirSync(b.at('out', 'dir', 'deep', 'theirs', 'sub'), { recursive: true })
  fs.writeFileSync(b.at('out', 'dir', 'deep', 'theirs', 'PROTECTED'), '')
  fs.writeFileSync(b.at('out', 'dir', 'deep', 'theirs', 'sub', 'data'), 'data')
  fs.chmodSync(b.at('out', 'dir', 'deep', 'theirs', 'sub'), 0o711)
  const inodes = ['dir/f3', 'notes/own.txt', 'dir/deep/theirs', 'dir/deep/theirs/sub/data'].map((name) =>
    inodeOf(b, 'out', name),
  )
  const open = fs.openSync(b.at('out', 'dir', 'deep', 'theirs', 'sub', 'data'), 'a')
  t.after(() => fs.closeSync(open))
  for (let round = 0; round < 3; round++) {
    write(b, 'source/dir/f3', `from the snapshot ${round}`)
    write(b, 'source/dir/f4', `${round}`)
    setTime(b.at('source', 'dir'), OLD_SEC, round)
    const result = await b.checkOut(await b.import(b.at('source')), b.at('out'), { replace: true })
    assert.deepEqual(result.kept.first, ['dir/deep/theirs', 'dir/f3', 'notes/own.txt'])
    assert.deepEqual(result.overridden, { count: 1, first: ['dir/f3'] })
    assert.equal(fs.readFileSync(b.at('out', 'dir', 'f4'), 'utf8'), `${round}`)
    assert.equal(
      fs.statSync(b.at('out', 'dir'), { bigint: true }).mtimeNs,
      BigInt(OLD_SEC) * 10n ** 9n + BigInt(round),
    )
    fs.writeSync(open, '+')
    if (round === 0) assert.deepEqual(result.dropped.first, ['dir/stray', 'notes', 'notes/stray'].slice(0, 2))
  }
  assert.deepEqual(
    ['dir/f3', 'notes/own.txt', 'dir/deep/theirs', 'dir/deep/theirs/sub/data'].map((name) =>
      inodeOf(b, 'out', name),
    ),
    inodes,
    'moved, not copied',
  )
  assert.equal(fs.readFileSync(b.at('out', 'dir', 'deep', 'theirs', 'sub', 'data'), 'utf8'), 'data+++')
  assert.equal(fs.readFileSync(b.at('out', 'dir', 'f3'), 'utf8'), 'local configuration')
  assert.equal(fs.existsSync(b.at('out', 'notes', 'stray')), false)
  assert.deepEqual(readMarker(b.at('out'))?.protect, ['dir/f3', 'notes/own.txt'])

  // The snapshot no longer has the folder, or has a file in its place: what is protected stays.
  fs.rmSync(b.at('source', 'dir'), { recursive: true })
  write(b, 'source/dir', 'now a file')
  const last = await b.checkOut(await b.import(b.at('source')), b.at('out'), { replace: true })
  assert.deepEqual(last.overridden.first, ['dir'])
  assert.equal(fs.readFileSync(b.at('out', 'dir', 'deep', 'theirs', 'sub', 'data'), 'utf8'), 'data+++')
  assert.equal(fs.existsSync(b.at('out', 'dir', 'f4')), false)

  fs.writeFileSync(b.at('out', 'PROTECTED'), '')
  await assert.rejects(b.checkOut(await b.import(b.at('source')), b.at('out'), { replace: true }), {
    code: 'conflict',
    message: /PROTECTED/,
  })
  await assert.rejects(
    b.checkOut(await b.import(b.at('source')), b.at('out'), { replace: true, protect: ['../x'] }),
    {
      code: 'invalid',
    },
  )
})

test('a file PROTECTED that the snapshot has protects nothing', async (t) => {
  const b = await bench(t)
  makeTree(b)
  write(b, 'source/dir/PROTECTED', 'from upstream')
  await b.checkOut(await b.import(b.at('source')), b.at('out'))
  for (const hasManifest of [true, false]) {
    if (!hasManifest) fs.unlinkSync(b.at(fs.readdirSync(b.dir).find((name) => name.includes('.files-'))!))
    write(b, 'source/dir/f1', `${hasManifest}`)
    const version = await b.import(b.at('source'))
    const { kept } = await b.checkOut(version, b.at('out'), { replace: true })
    assert.equal(kept.count, 0)
    await isSameAs(b, version)
  }
})

test('any history of a tree with local edits ends in what its last snapshot says', async (t) => {
  const names = ['a', 'b', 'dir/a', 'dir/b', 'dir/sub/a']
  const step = fc.record({
    edits: fc.array(
      fc.record({
        where: fc.constantFrom('source', 'out'),
        name: fc.constantFrom(...names),
        what: fc.constantFrom('write', 'remove', 'chmod', 'touch', 'link', 'same'),
        value: fc.integer({ min: 0, max: 3 }),
      }),
      { maxLength: 6 },
    ),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 5 }), async (steps) => {
      const b = await bench(t)
      fs.mkdirSync(b.at('source', 'dir', 'sub'), { recursive: true })
      for (const name of names) write(b, `source/${name}`, name)
      for (const { edits } of steps) {
        for (const { where, name, what, value } of edits) {
          const path = b.at(where, name)
          if (!fs.existsSync(b.at(where, 'dir', 'sub'))) continue
          if (what === 'remove') fs.rmSync(path, { force: true })
          else if (what === 'link') {
            fs.rmSync(path, { force: true })
            const other = b.at(where, names[value]!)
            if (other !== path && fs.existsSync(other)) fs.linkSync(other, path)
          } else if (!fs.existsSync(path) || what === 'write') {
            fs.rmSync(path, { force: true })
            write(b, `${where}/${name}`, 'w'.repeat(value))
          } else if (what === 'chmod') fs.chmodSync(path, 0o600 + value)
          else if (what === 'touch') setTime(path, OLD_SEC + value, 0)
          else {
            const { mtimeNs } = fs.statSync(path, { bigint: true })
            fs.writeFileSync(path, fs.readFileSync(path).fill(value))
            setTime(path, Number(mtimeNs / 10n ** 9n), Number(mtimeNs % 10n ** 9n))
          }
        }
        const version = await b.import(b.at('source'))
        await b.checkOut(version, b.at('out'), { replace: true, workers: 1 })
        await isSameAs(b, version)
      }
    }),
    { numRuns: 6 },
  )
})

test('a check-out with other owners than the one before takes nothing over', {
  skip: !isRoot,
}, async (t) => {
  const b = await bench(t)
  makeTree(b)
  fs.chownSync(b.at('source', 'dir', 'f1'), 4321, 4321)
  const version = await b.import(b.at('source'))
  let before: boolean | undefined
  for (const owner of [true, false, false, true, true]) {
    const { notRestored, files, reusedFiles } = await b.checkOut(version, b.at('out'), {
      replace: true,
      owner,
    })
    assert.equal(notRestored.count, 0)
    assert.equal(reusedFiles, owner === before ? files : 0)
    before = owner
    assert.equal(fs.statSync(b.at('out', 'dir', 'f1')).uid, owner ? 4321 : 0)
  }
})
