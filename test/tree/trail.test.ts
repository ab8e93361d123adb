import assert from 'node:assert/strict'
import fs from 'node:fs'
import { mock, test } from 'node:test'
import fc from 'fast-check'
import { scanTree } from '../../src/tree/import/scan.ts'
import { createTrail } from '../../src/tree/import/trail.ts'
import { createRecordReader, openUnnamedFile } from '../../src/tree/spool/record-bytes.ts'
import type { SpoolRecord } from '../../src/tree/spool/spool.ts'
import { readSpoolRecord } from '../../src/tree/spool/spool.ts'
import { bench } from './trees.ts'

const name = (text: string): Buffer => Buffer.from(text)

test('a directory that is renamed or becomes a link under a walk never leads out of the tree', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source', 'a', 'b'), { recursive: true })
  fs.mkdirSync(b.at('outside', 'b'), { recursive: true })
  for (const [dir, text] of [
    ['source/a', 'inside'],
    ['source/a/b', 'inside'],
    ['outside', 'outside'],
    ['outside/b', 'outside'],
  ] as const) {
    fs.writeFileSync(b.at(dir, 'file'), text)
  }
  const trail = createTrail(name(b.at('source')))
  t.after(() => trail.close())
  trail.enter(name('a'))
  assert.equal(fs.readFileSync(trail.path(name('file')), 'utf8'), 'inside')
  fs.renameSync(b.at('source', 'a'), b.at('source', 'moved'))
  fs.symlinkSync(b.at('outside'), b.at('source', 'a'))
  assert.equal(fs.readFileSync(trail.path(name('file')), 'utf8'), 'inside', 'the directory that was entered')
  trail.enter(name('b'))
  assert.equal(fs.readFileSync(trail.path(name('file')), 'utf8'), 'inside')
  trail.goTo(name('a/b'))
  assert.throws(() => trail.path(name('file')), { code: 'ENOTDIR' })
  trail.goTo(name('moved/b'))
  assert.equal(fs.readFileSync(trail.path(name('file')), 'utf8'), 'inside')
  fs.rmSync(b.at('source', 'moved', 'b', 'file'))
  fs.rmdirSync(b.at('source', 'moved', 'b'))
  fs.symlinkSync(b.at('outside', 'b'), b.at('source', 'moved', 'b'))
  trail.leave()
  trail.enter(name('b'))
  assert.throws(() => trail.fd(), { code: 'ENOTDIR' })
})

test('a walk of any shape reaches every file with few descriptors, deeper than a path can spell', async (t) => {
  const b = await bench(t)
  const depth = 300
  const trail = createTrail(name(b.dir))
  t.after(() => trail.close())
  const openFds = (): number => fs.readdirSync('/proc/self/fd').length
  const before = openFds()
  for (let level = 0; level < depth; level++) {
    const child = name(`${level}-${'d'.repeat(40)}`)
    fs.mkdirSync(trail.path(child))
    trail.enter(child)
    fs.writeFileSync(trail.path(name('file')), String(level))
  }
  assert.ok(openFds() - before <= 70, `${openFds() - before} more are open`)
  for (let level = depth - 1; level >= 0; level--) {
    assert.equal(fs.readFileSync(trail.path(name('file')), 'utf8'), String(level))
    trail.leave()
  }
  assert.ok(openFds() - before <= 70)
  trail.close()
  assert.equal(openFds(), before)
})

test('the order in which a file system lists names has no influence on what is captured', async (t) => {
  const b = await bench(t)
  for (const dir of ['a', 'b', 'b/c']) {
    fs.mkdirSync(b.at('source', dir), { recursive: true })
    for (const file of ['x', 'y', 'Z', '\u{e9}', '10', '9']) fs.writeFileSync(b.at('source', dir, file), file)
  }
  fs.linkSync(b.at('source', 'a', 'x'), b.at('source', 'b', 'linked'))
  const scan = (): SpoolRecord[] => {
    const fd = openUnnamedFile(b.at('tmp'), 'spool')
    const records: SpoolRecord[] = []
    scanTree(Buffer.from(b.at('source')), { spoolFd: fd, tempDir: b.at('tmp') }, ({ startByte, endByte }) => {
      const reader = createRecordReader(fd, startByte, endByte)
      while (!reader.isAtEnd) records.push(readSpoolRecord(reader))
    })
    fs.closeSync(fd)
    return records
  }
  const listed = scan()
  const { readdirSync } = fs
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 8, maxLength: 8 }), (keys) => {
      const shuffled = (...args: Parameters<typeof readdirSync>): unknown =>
        (readdirSync(...args) as unknown as string[])
          .map((entry, index) => ({ entry, key: keys[index % keys.length]! }))
          .sort((a, b) => a.key - b.key)
          .map(({ entry }) => entry)
      const patched = mock.method(fs, 'readdirSync', shuffled as typeof readdirSync)
      try {
        assert.deepEqual(scan(), listed)
      } finally {
        patched.mock.restore()
      }
    }),
    { numRuns: 20 },
  )
})
