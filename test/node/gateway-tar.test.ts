import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { askGateway } from './gateway-client.ts'
import { createTestMesh, type Node } from './gateway-mesh.ts'
import { tempDir } from './temp-dir.ts'

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
