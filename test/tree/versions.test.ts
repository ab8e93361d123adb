/** Several snapshots side by side, and the link that leads to one of them. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { openStore } from '../../src/store/store.ts'
import { createCheckoutStorage } from '../../src/tree/checkout/checkout-storage.ts'
import type { ImportResult } from '../../src/tree/import/import.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { latestVersion, listVersions } from '../../src/tree/versions/version-folder.ts'
import type { VersionOptions, VersionResult } from '../../src/tree/versions/versions.ts'
import { checkOutVersion, hasDueVersions, pruneVersions } from '../../src/tree/versions/versions.ts'
import { missingOf } from './missing-blocks.ts'
import type { Bench } from './trees.ts'
import { bench, describeTree, noise, setTime } from './trees.ts'

function makeVersion(b: Bench, n: number, files = 3): string {
  const name = `source${n}`
  fs.mkdirSync(b.at(name, 'dir'), { recursive: true })
  for (let i = 0; i < files; i++) {
    fs.writeFileSync(b.at(name, 'dir', `same${i}`), `same ${i}`)
    setTime(b.at(name, 'dir', `same${i}`), 1_000_000_000, 1)
  }
  fs.linkSync(b.at(name, 'dir', 'same0'), b.at(name, 'link'))
  fs.writeFileSync(b.at(name, 'large'), noise(300_000))
  fs.writeFileSync(b.at(name, 'own'), noise(100_000, n))
  for (let i = 0; i < 3; i++) fs.writeFileSync(b.at(name, `file${i}`), `version ${n}`)
  return b.at(name)
}

type Moved = Omit<VersionOptions, 'root' | 'sequence' | 'label'>

function move(
  b: Bench,
  sequence: number,
  { snapshot, snapshotCid }: ImportResult,
  options: Partial<Moved> & { tree?: string; clock?: typeof systemClock; isStorage?: boolean } = {},
): Promise<VersionResult> {
  const { tree = 'test', clock = systemClock, isStorage = false, ...rest } = options
  const { blocks } = b.store
  return checkOutVersion(
    { blocks, clock, ...(isStorage ? { storage: createCheckoutStorage({ blocks }) } : {}) },
    {
      root: snapshot.root,
      dir: b.at('out'),
      sequence,
      versions: 2,
      workers: 1,
      label: { tree, snapshot: snapshotCid.toString() },
      ...rest,
    },
  )
}

/** Everything in the folder, in order; what lies beside check-outs without its changing parts. */
function namesIn(b: Bench): string[] {
  return fs
    .readdirSync(b.at('out'))
    .map((name) => name.replace(/files-.*/, 'files').replace(/-[0-9a-f]{16}$/, '-leftover'))
    .sort()
}

function withBeside(...sequences: number[]): string[] {
  return [
    'latest',
    '.latest.mirrormesh.json',
    ...sequences.flatMap((n) => [`${n}`, `.${n}.mirrormesh.json`, `.${n}.mirrormesh.files`]),
  ].sort()
}

test('ten moves under a reader: it sees whole versions and misses none; the newest stay, apart from each other', async (t) => {
  const b = await bench(t)
  const versions: ImportResult[] = []
  for (let n = 0; n <= 10; n++) versions.push(await b.import(makeVersion(b, n)))
  await move(b, 1, versions[0]!, { versions: 3 })
  const reader = spawn(
    process.execPath,
    [new URL('./version-reader.ts', import.meta.url).pathname, b.at('out')],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  t.after(() => reader.kill('SIGKILL'))
  let told = ''
  reader.stdout.setEncoding('utf8').on('data', (text: string) => {
    told += text
  })
  await once(reader.stdout, 'data')
  for (let n = 1; n <= 10; n++) {
    const { removed, staying, sequences } = await move(b, n + 1, versions[n]!, { versions: 3 })
    assert.deepEqual(staying, [])
    assert.deepEqual(removed, n < 3 ? [] : [n - 2])
    assert.deepEqual(
      sequences,
      [n + 1, n, n - 1].filter((each) => each > 0),
    )
  }
  reader.stdin.end()
  await once(reader, 'exit')
  const { passes, wrong, seen } = JSON.parse(told.split('\n')[1]!) as Record<string, string[]>
  assert.deepEqual(wrong, [])
  assert.ok(Number(passes) > 50 && seen!.length > 2, `${passes} passes, ${seen!.length} versions`)
  assert.equal(fs.readlinkSync(b.at('out', 'latest')), '11')
  assert.deepEqual(namesIn(b), withBeside(9, 10, 11))
  const inodes = new Set<number>()
  for (const n of [8, 9, 10]) {
    assert.deepEqual(describeTree(b.at('out', `${n + 1}`)), describeTree(b.at(`source${n}`)))
    for (const name of ['large', 'own', 'file0', 'dir/same0', 'dir/same1']) {
      inodes.add(fs.statSync(b.at('out', `${n + 1}`, name)).ino)
    }
  }
  assert.equal(inodes.size, 15)
})

test('what latest leads to stays, and what is tagged; back and forth again needs nothing written', async (t) => {
  const b = await bench(t)
  const versions: ImportResult[] = []
  for (let n = 1; n <= 6; n++) versions.push(await b.import(makeVersion(b, n)))
  const tagged = versions[1]!.snapshotCid.toString()
  const isTagged = (snapshot: string) => snapshot === tagged
  for (const n of [1, 2, 3]) await move(b, n, versions[n - 1]!, { isTagged })
  assert.deepEqual(namesIn(b), withBeside(2, 3))
  const back = await move(b, 2, versions[1]!, { isTagged })
  assert.equal(back.checkout, undefined)
  assert.equal(fs.readlinkSync(b.at('out', 'latest')), '2')
  for (const n of [4, 5]) {
    await move(b, n, versions[n - 1]!, { isTagged })
    assert.equal(fs.readlinkSync(b.at('out', 'latest')), `${n}`)
  }
  assert.deepEqual(namesIn(b), withBeside(2, 4, 5))
  // The tag is gone: by itself, without a move.
  assert.ok(hasDueVersions(b.at('out'), { versions: 2 }, Date.now()))
  const pruned = await pruneVersions({ clock: systemClock }, { dir: b.at('out'), versions: 2 })
  assert.deepEqual(pruned, { removed: [2], staying: [] })
  assert.ok(!hasDueVersions(b.at('out'), { versions: 2 }, Date.now()))
  assert.deepEqual(namesIn(b), withBeside(4, 5))
  await move(b, 1, versions[0]!)
  assert.deepEqual(namesIn(b), withBeside(1, 4, 5))
})

test('a version stays for its time of grace, and the one before latest for a minute at least', async (t) => {
  const b = await bench(t)
  const versions: ImportResult[] = []
  for (let n = 1; n <= 4; n++) versions.push(await b.import(makeVersion(b, n)))
  let nowMs = 1_000_000
  const clock = { ...systemClock, nowMs: () => nowMs }
  const kept = { versions: 1, keepOldSeconds: 600 }
  for (const n of [1, 2]) await move(b, n, versions[n - 1]!, { ...kept, clock })
  assert.deepEqual(namesIn(b), withBeside(1, 2))
  nowMs += 599_000
  assert.ok(!hasDueVersions(b.at('out'), kept, nowMs))
  nowMs += 2_000
  assert.ok(hasDueVersions(b.at('out'), kept, nowMs))
  assert.deepEqual((await pruneVersions({ clock }, { dir: b.at('out'), ...kept })).removed, [1])
  assert.deepEqual(namesIn(b), withBeside(2))
  await move(b, 3, versions[2]!, { versions: 1, clock })
  assert.deepEqual(namesIn(b), withBeside(2, 3))
  nowMs += 59_000
  await move(b, 3, versions[2]!, { versions: 1, clock })
  assert.deepEqual(namesIn(b), withBeside(2, 3))
  nowMs += 2_000
  await move(b, 3, versions[2]!, { versions: 1, clock })
  assert.deepEqual(namesIn(b), withBeside(3))
})

test('what is not ours is refused: folders, files, links, check-outs of one snapshot, other trees', async (t) => {
  const b = await bench(t)
  const one = await b.import(makeVersion(b, 1))
  const refused = async (message: RegExp, options: Parameters<typeof move>[3] = {}, sequence = 1) => {
    const before = describeTree(b.at('out'))
    await assert.rejects(move(b, sequence, one, options), { code: 'conflict', message })
    assert.deepEqual(describeTree(b.at('out')), before)
  }
  await assert.rejects(move(b, 1, one, { dir: b.at('missing', 'out') }), { code: 'not-found' })
  fs.mkdirSync(b.at('out'))
  await refused(/exists already/)
  fs.writeFileSync(b.at('out', 'precious'), 'x')
  await refused(/not a folder of versions/, { takeEmpty: true })
  fs.rmSync(b.at('out'), { recursive: true })
  fs.writeFileSync(b.at('out'), 'x')
  await refused(/exists already/, { takeEmpty: true })
  fs.rmSync(b.at('out'))
  fs.symlinkSync('elsewhere', b.at('out'))
  await refused(/symbolic link/, { takeEmpty: true })
  fs.rmSync(b.at('out'))
  await b.checkOut(one, b.at('out'))
  await refused(/check-out of one snapshot/, { takeEmpty: true })
  fs.rmSync(b.at('out'), { recursive: true })

  fs.mkdirSync(b.at('out'))
  await move(b, 1, one, { takeEmpty: true })
  await refused(/holds versions of test/, { tree: 'other' }, 2)
  await assert.rejects(b.checkOut(one, b.at('out'), { replace: true, takeEmpty: true }), { code: 'conflict' })
  fs.mkdirSync(b.at('out', '2'))
  await refused(/not a check-out of mirrormesh/, {}, 2)
  fs.rmSync(b.at('out', '2'), { recursive: true })
  await b.checkOut(one, b.at('out', '2'), { label: { tree: 'other', snapshot: 'x' } })
  await refused(/not a version of test/, {}, 2)
  fs.rmSync(b.at('out', 'latest'))
  fs.symlinkSync('elsewhere', b.at('out', 'latest'))
  await refused(/not the link/, {}, 3)
  assert.deepEqual(
    (await pruneVersions({ clock: systemClock }, { dir: b.at('out'), versions: 1 })).removed,
    [],
  )
  fs.rmSync(b.at('out', 'latest'))
  await move(b, 3, one, { versions: 1 })
  // What somebody else put among them stays whatever its number.
  assert.ok(fs.existsSync(b.at('out', '2')))
})

test('of two at once one is told to wait', async (t) => {
  const b = await bench(t)
  const one = await b.import(makeVersion(b, 1))
  await move(b, 1, one)
  const results = await Promise.allSettled([move(b, 2, one), move(b, 3, one)])
  assert.deepEqual(
    results
      .map((each) => (each.status === 'rejected' ? (each.reason as { code: string }).code : 'done'))
      .toSorted(),
    ['busy', 'done'],
  )
})

test('the same sequence of another epoch takes the place of the version', async (t) => {
  const b = await bench(t)
  const versions = [await b.import(makeVersion(b, 1)), await b.import(makeVersion(b, 2))] as const
  await move(b, 1, versions[0])
  await move(b, 1, versions[1])
  assert.deepEqual(describeTree(b.at('out', '1')), describeTree(b.at('source2')))
  assert.deepEqual(namesIn(b), withBeside(1))
})

test('a version in which somebody protected something stays, and says why', async (t) => {
  const b = await bench(t)
  const versions: ImportResult[] = []
  for (let n = 1; n <= 3; n++) versions.push(await b.import(makeVersion(b, n)))
  await move(b, 1, versions[0]!, { versions: 1 })
  fs.mkdirSync(b.at('out', '1', 'mine'))
  fs.writeFileSync(b.at('out', '1', 'mine', 'PROTECTED'), '')
  await move(b, 2, versions[1]!, { versions: 1 })
  let nowMs = Date.now() + 100_000
  const clock = { ...systemClock, nowMs: () => nowMs }
  const { removed, staying } = await move(b, 3, versions[2]!, { versions: 1, clock })
  assert.deepEqual(removed, [])
  assert.equal(staying.length, 1)
  assert.match(staying[0]!.reason, /PROTECTED in mine/)
  assert.ok(!hasDueVersions(b.at('out'), { versions: 1 }, nowMs))
  fs.rmSync(b.at('out', '1', 'mine', 'PROTECTED'))
  nowMs += 3_700_000
  const pruned = await pruneVersions({ clock }, { dir: b.at('out'), versions: 1 })
  assert.deepEqual(pruned, { removed: [1, 2], staying: [] })
})

test('versions hold their blocks; when one goes nothing is lost that an older snapshot needs', async (t) => {
  const b = await bench(t)
  const versions: ImportResult[] = []
  for (let n = 1; n <= 6; n++) {
    versions.push(await b.import(makeVersion(b, n)))
    await move(b, n, versions.at(-1)!, { isStorage: true })
    for (const version of versions.slice(-5)) assert.equal(await missingOf(b, version), 0)
    const backings = b.store.blocks.backings.list().map(({ path, alternative }) => ({ path, alternative }))
    const expected = listVersions(Buffer.from(b.at('out'))).map(({ path }) => path.toString())
    assert.deepEqual(backings.map(({ path }) => Buffer.from(path).toString()).sort(), expected.sort())
    assert.ok(backings.every(({ alternative }) => alternative === undefined))
  }
})

const STEPS = ['written', 'in-place', 'latest-switched', 'blocks-saved', 'hidden']

test('killed at each step, latest leads to a whole version, and the next move clears the rest', async (t) => {
  const b = await bench(t)
  const dir = b.at('killed-store')
  const script = new URL('./versions-stuck.ts', import.meta.url).pathname
  const versions: ImportResult[] = []
  const own = await openStore({ dir, clock: systemClock })
  for (const n of [1, 2]) {
    const ports = { blocks: own.blocks, tempDir: b.at('tmp'), clock: systemClock }
    versions.push(await importTree(ports, { path: makeVersion(b, n, 60), tree: 'test' }))
  }
  await own.close()
  const expected = [1, 2].map((n) => describeTree(b.at(`source${n}`)))

  async function withStore<T>(work: (killed: Bench) => Promise<T>): Promise<T> {
    const store = await openStore({ dir, clock: systemClock })
    try {
      return await work({ ...b, store })
    } finally {
      await store.close()
    }
  }

  async function kill(sequence: number, which: 0 | 1, step: string, afterMs = 0): Promise<void> {
    const snapshot = versions[which]!.snapshotCid.toString()
    const child = spawn(process.execPath, [script, dir, b.at('out'), `${sequence}`, snapshot, '1', step], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = once(child, 'exit')
    const reached = await Promise.race([once(child.stdout, 'data'), exited])
    assert.match(String(reached[0]), /^[a-z]/, `${step} was never reached`)
    const endMs = performance.now() + afterMs
    while (performance.now() < endMs) await new Promise((resolve) => setImmediate(resolve))
    child.kill('SIGKILL')
    await exited
  }

  let sequence = 1
  let nowMs = Date.now()
  const clock = { ...systemClock, nowMs: () => nowMs }
  for (const step of STEPS) {
    // Two that are there, the older one out of its time of grace by the next move.
    await withStore(async (killed) => {
      await move(killed, sequence, versions[0]!, { versions: 1, clock, isStorage: true })
      await move(killed, sequence + 1, versions[0]!, { versions: 3, isStorage: true })
    })
    sequence += 2
    await kill(sequence, 1, step)
    const isSwitched = STEPS.indexOf(step) > 1
    assert.equal(fs.readlinkSync(b.at('out', 'latest')), `${isSwitched ? sequence : sequence - 1}`, step)
    assert.deepEqual(describeTree(b.at('out', 'latest/')), expected[isSwitched ? 1 : 0], step)
    for (const { path } of listVersions(Buffer.from(b.at('out')))) {
      assert.ok(expected.some((lines) => JSON.stringify(lines) === JSON.stringify(describeTree(`${path}`))))
    }
    sequence += 1
    nowMs += 200_000
    await withStore(async (killed) => {
      const { staying } = await move(killed, sequence, versions[0]!, { versions: 1, clock, isStorage: true })
      assert.deepEqual(staying, [])
      nowMs += 200_000
      await pruneVersions(
        { clock, storage: createCheckoutStorage({ blocks: killed.store.blocks }) },
        { dir: b.at('out'), versions: 1 },
      )
      assert.deepEqual(namesIn(b), withBeside(sequence), step)
      for (const version of versions) assert.equal(await missingOf(killed, version), 0, step)
      assert.equal(killed.store.blocks.backings.list().length, 1, step)
    })
    sequence += 1
  }
  for (let round = 0; round < 4; round++) {
    await kill(sequence, (round % 2) as 0 | 1, 'none', 50 + round * 67)
    const latest = latestVersion(Buffer.from(b.at('out')))
    assert.ok(latest !== undefined)
    assert.equal(fs.readlinkSync(b.at('out', 'latest')), `${latest.sequence}`)
    assert.ok(
      expected.some((lines) => JSON.stringify(lines) === JSON.stringify(describeTree(`${latest.path}`))),
    )
    sequence = latest.sequence + 2
  }
  await withStore(async (killed) => {
    nowMs += 600_000
    await move(killed, sequence, versions[0]!, { versions: 2, clock, isStorage: true })
    const names = namesIn(b)
    assert.deepEqual(
      names,
      withBeside(...listVersions(Buffer.from(b.at('out'))).map((each) => each.sequence)),
    )
    for (const version of versions) assert.equal(await missingOf(killed, version), 0)
  })
})
