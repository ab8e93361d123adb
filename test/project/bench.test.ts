/** The benchmarks run, with sizes so small that their figures mean nothing, and print what docs/benchmarks.md is made from. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import type { ChunkDocument } from '../../scripts/measure/chunk-tables.ts'
import type { BenchDocument } from '../../scripts/measure/markdown.ts'
import { hasProgram } from '../../scripts/measure/run.ts'
import { pseudoRandomBytes } from '../block/pseudo-random.ts'

const run = promisify(execFile)
const bench = resolve(import.meta.dirname, '../../scripts/bench')
const missing = ['time', 'rsync'].filter((program) => !hasProgram(program))
const skip =
  missing.length > 0 && process.env.CI !== 'true' ? `needs ${missing.join(' and ')} (Debian packages)` : false

function temporary(t: TestContext): string {
  // In memory, where there is such a place: the benchmark syncs its file system before each program.
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'bench-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('every part of the benchmark names its programs and leaves nothing behind', { skip }, async (t) => {
  const folder = temporary(t)
  const { stdout } = await run(bench, [
    ...['--only', 'import,checkout,unchanged,update,disk', '--sources', 'small', '--small-files', '12'],
    ...['--rounds', '1', '--cool-seconds', '0', '--dir', folder],
  ])
  const document = JSON.parse(stdout) as BenchDocument
  assert.equal(document.rounds, 1)
  assert.equal(document.transfer, undefined)
  assert.equal(document.places.length, 1)
  const { contests, disk, fileSystem } = document.places[0]!
  assert.notEqual(fileSystem, '')
  assert.deepEqual(
    contests.map(({ part }) => part),
    ['import', 'checkout', 'unchanged', 'update'],
  )
  for (const { part, files, programs } of contests) {
    assert.equal(files, 12)
    const names = Object.keys(programs)
    assert.match(names[0]!, /^mirrormesh( import| checkout|, unchanged)$/, part)
    assert.ok(
      names.some((name) => name.startsWith('rsync -a')),
      part,
    )
    assert.equal(programs[names[0]!]!.ratio, 1)
    for (const [name, { seconds, cpuSeconds, peakMB }] of Object.entries(programs)) {
      assert.ok(seconds > 0 && cpuSeconds >= 0 && peakMB > 0, `${part} ${name}`)
    }
  }
  assert.equal(contests[3]!.changed, 1)
  assert.ok(disk[0]!.treeMB > 0 && disk[0]!.siteMB >= disk[0]!.storeMB && disk[0]!.ratio > 0)
  assert.deepEqual(readdirSync(folder), [])
})

test('the bench of chunk sizes weighs what a build adds', { skip }, async (t) => {
  const folder = temporary(t)
  const held = pseudoRandomBytes(1, 600_000)
  for (const [side, bytes] of [
    ['old', held],
    ['new', Buffer.concat([held, pseudoRandomBytes(2, 10_000)])],
  ] as const) {
    mkdirSync(join(folder, 'trees/tiny', side), { recursive: true })
    writeFileSync(join(folder, 'trees/tiny', side, 'data'), bytes)
  }
  const { stdout } = await run(bench, ['chunks', folder, '--sizes', '4,64'])
  const { pairs } = JSON.parse(stdout) as ChunkDocument
  assert.equal(pairs.length, 1)
  const { name, sizes, rsync } = pairs[0]!
  assert.equal(name, 'tiny')
  assert.deepEqual(
    sizes.map(({ avgBytes }) => avgBytes),
    [4096, 65_536],
  )
  const [small, large] = sizes
  for (const { chunks, metadata, bytes } of sizes) {
    assert.equal(bytes, 610_000)
    assert.ok(chunks.bytes >= 10_000 && chunks.bytes < 610_000, 'most of the file is known already')
    assert.ok(metadata.blocks >= 2, 'a directory, an index, a snapshot')
  }
  assert.ok(small!.chunks.bytes < large!.chunks.bytes)
  assert.ok(small!.blocks > large!.blocks)
  assert.ok(rsync.literalBytes >= 10_000 && rsync.literalBytes < 20_000 && rsync.missedFiles === 0)
})

test('the benchmark refuses a part that there is not', async () => {
  const failure = await run(bench, ['--only', 'import,flying']).then(
    () => assert.fail('it ended with 0'),
    (error: { code: number; stderr: string }) => error,
  )
  assert.equal(failure.code, 2)
  assert.match(failure.stderr, /there is no "flying": it is one of import, checkout/)
})
