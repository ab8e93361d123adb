import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { tarOf } from '../../node/gateway/tar.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import { buildFile } from '../../src/dag/file.ts'
import { setXattr } from '../../src/posix/xattr.ts'
import { createFileReader } from '../../src/tree/read-file.ts'
import { createMemorySource } from '../dag/memory-source.ts'
import { CASES } from '../tree/every-case.ts'
import { manifestDifferences, missingPrograms, rsyncChanges } from '../tree/judge.ts'
import { bench, isRoot } from '../tree/trees.ts'
import { askGateway } from './gateway-client.ts'
import { createTestMesh, type Node } from './gateway-mesh.ts'
import { tempDir } from './temp-dir.ts'

const run = promisify(execFile)

/** Prints what Python's own reader makes of an archive: a line a member, names in hex. */
const READ = `
import sys, tarfile
hex = lambda text: text.encode('utf8', 'surrogateescape').hex()
for m in tarfile.open(sys.argv[1]):
    print(hex(m.name), m.type.decode(), oct(m.mode), m.size, repr(m.mtime) if isinstance(m.mtime, int) else '%.3f' % m.mtime, hex(m.linkname), m.uid, m.gid, sep='|')
`

const name = fc
  .uint8Array({ minLength: 1, maxLength: 255 })
  .filter((bytes) => !bytes.includes(0) && !bytes.includes(0x2f))
  .filter((bytes) => !['.', '..'].includes(Buffer.from(bytes).toString('latin1')))
const entry = fc.record({
  folders: fc.array(fc.oneof(name, fc.constant(Buffer.from('d'.repeat(90)))), { maxLength: 3 }),
  name,
  sizeBytes: fc.nat({ max: 2000 }),
  mode: fc.nat({ max: 0o7777 }),
  mtimeSec: fc.integer({ min: -2_000_000_000, max: 20_000_000_000 }),
  mtimeMs: fc.constantFrom(0, 1, 250, 999),
  uid: fc.constantFrom(0, 1000, 0o7777777, 0o10000000, 0xffff_fffe),
  target: fc.option(fc.uint8Array({ minLength: 1, maxLength: 300 }).filter((bytes) => !bytes.includes(0))),
})

test('whatever the names, sizes, times and owners, another reader of tar finds the same', async (t) => {
  const dir = await tempDir(t)
  // One archive of all of them: each run of the reader is a process.
  const entries = fc.sample(entry, { numRuns: 300, seed: 20_261_127 })
  const expected: string[] = []
  const mesh = await createTestMesh()
  const root: [Uint8Array, Node][] = []
  for (const [at, { folders, ...each }] of entries.entries()) {
    // In a folder of its own, so that no name meets another.
    const own = Buffer.from(`e${String(at).padStart(4, '0')}`)
    const { mode, mtimeSec, mtimeMs, uid, sizeBytes, target } = each
    const metadata = { mode, mtimeSec, mtimeNsec: mtimeMs * 1_000_000, uid, gid: uid }
    const leaf: Node =
      target === null ? { bytes: new Uint8Array(sizeBytes).fill(at), metadata } : ({ to: target } as Node)
    let node: Node = [[each.name, leaf]]
    for (const folder of folders.toReversed()) node = [[folder, node]]
    root.push([own, node])
    const path = Buffer.concat([
      own,
      ...[...folders, each.name].flatMap((part) => [Buffer.from('/'), Buffer.from(part)]),
    ])
    if (target !== null) expected.push(`${path.toString('hex')}|2|${Buffer.from(target).toString('hex')}`)
    else {
      const time =
        mtimeMs === 0 && mtimeSec >= 0 && mtimeSec <= 0o77777777777
          ? String(mtimeSec)
          : (mtimeSec + mtimeMs / 1000).toFixed(3)
      expected.push(`${path.toString('hex')}|0|0o${mode.toString(8)}|${sizeBytes}|${time}|${uid}|${uid}`)
    }
  }
  await mesh.publish('t', root)
  const gateway = await mesh.start()
  t.after(() => gateway.stop(0))
  const answer = await askGateway(gateway, '/t/?format=tar')
  assert.equal(answer.body.length % 512, 0)
  const file = join(dir, 'all.tar')
  await writeFile(file, answer.body)
  const { stdout } = await promisify(execFile)('python3', ['-c', READ, file], { maxBuffer: 1 << 26 })
  const found = stdout
    .trim()
    .split('\n')
    .map((line) => line.split('|'))
    .filter(([, type]) => type !== '5')
    .map(([path, type, mode, size, time, link, uid, gid]) =>
      type === '2' ? `${path}|2|${link}` : `${path}|${type}|${mode}|${size}|${time}|${uid}|${gid}`,
    )
  assert.deepEqual(found.sort(), expected.sort())
})

async function collected(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Buffer[] = []
  for await (const piece of pieces) all.push(Buffer.from(piece))
  return Buffer.concat(all)
}

test('GNU tar makes of an archive what a check-out is, as root, by the word of rsync', async (t) => {
  const missing = missingPrograms()
  if (process.env.CI !== 'true' && (!isRoot || missing.length > 0)) {
    t.skip(isRoot ? `not installed: ${missing.join(', ')} (scripts/test-programs)` : 'needs root')
    return
  }
  const b = await bench(t)
  const source = b.at('source', 'tree')
  for (const name of ['names', 'types', 'links', 'times', 'permissions', 'attributes', 'sparse'] as const) {
    await mkdir(join(source, name), { recursive: true })
    CASES[name]!(join(source, name), { uid: 0, gid: 0 })
  }
  // A key of a pax record ends at an equals sign.
  setXattr(Buffer.from(join(source, 'attributes/plain')), Buffer.from('user.a=b%c'), Buffer.from('x=y'))
  const imported = await b.import(source)
  const { root } = imported.snapshot
  assert.ok(root.type === 'directory')
  await b.checkOut(imported, b.at('checkout'), { devices: true })
  const { blocks } = b.store
  const file = b.at('all.tar')
  const options = { maxEntries: 100_000, hasHoles: true, signal: t.signal }
  await writeFile(file, tarOf({ blocks, readFile: createFileReader({ blocks }).read }, root, options))
  await mkdir(b.at('all'))
  const all = ['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner', '--warning=no-timestamp']
  const env = { PATH: process.env.PATH ?? '', LANG: 'C' }
  assert.equal((await run('tar', ['-xpf', file, '-C', b.at('all'), ...all], { env })).stderr, '')
  /** The folder itself is not in an archive, and tar has no form for a socket. */
  const changes = rsyncChanges(b.at('checkout'), b.at('all'))
    .split('\n')
    .filter((line) => !/^$| (\.\/|types\/|types\/socket)$/.test(line))
  assert.deepEqual(changes, [])
  assert.deepEqual(
    manifestDifferences(b.at('checkout'), b.at('all')).filter(
      // A file that is shorter than its map goes as it is.
      (line) => !/^. "(|\/types|\/types\/socket|\/sparse\/small-hole)" /.test(line),
    ),
    [],
  )
  assert.ok((await stat(file)).size < 10_000_000, 'holes are not in it')
})

test('a hole that is none, by its bytes, is sent', async () => {
  const source = createMemorySource()
  const bytes = randomFillSync(new Uint8Array(100_000)).fill(0, 8192, 40_960)
  // Cut where no hole begins or ends.
  const parts = Array.from({ length: 15 }, (_, at) => {
    const part = bytes.slice(at * 7000, (at + 1) * 7000)
    const block = { cid: cidOf(RAW, part), bytes: part }
    source.emit(block)
    return { cid: block.cid, lengthBytes: part.length }
  })
  const metadata = { mode: 0o644, mtimeSec: 0, mtimeNsec: 0, uid: 0, gid: 0 }
  const { content } = buildFile(parts, source.emit)
  const archiveOf = async (holes: readonly number[] | undefined, hasHoles: boolean): Promise<Buffer> => {
    const file = {
      ...metadata,
      type: 'file' as const,
      name: utf8('f'),
      sizeBytes: bytes.length,
      content: content!,
    }
    const directory = buildDirectory([holes === undefined ? file : { ...file, holes }], source.emit)
    const folder = { ...metadata, type: 'directory' as const, name: utf8(''), directory }
    const { read: readFile } = createFileReader({ blocks: source })
    const options = { maxEntries: 1, hasHoles, signal: new AbortController().signal }
    return collected(tarOf({ blocks: source, readFile }, folder, options))
  }
  const whole = await archiveOf(undefined, true)
  assert.deepEqual(await archiveOf([0, 4096, 45_056, 4096], true), whole)
  const holed = await archiveOf([0, 4096, 8192, 32_768, 45_056, 4096], true)
  assert.equal(whole.length - holed.length, 32_768 - 3 * 512, 'a pax header of two blocks, and a map')
  assert.deepEqual(await archiveOf([8192, 32_768], false), whole)
})
