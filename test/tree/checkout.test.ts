import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { systemClock } from '../../src/base/clock.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { openStore } from '../../src/store/store.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { readMarker } from '../../src/tree/manifest/checkout-marker.ts'
import { CHUNKED } from '../chunked.ts'
import type { Bench } from './trees.ts'
import { bench, describeTree, isRoot, noise, setTime } from './trees.ts'

function makeVersion(b: Bench, name: string, content: string): string {
  fs.mkdirSync(b.at(name, 'dir'), { recursive: true })
  fs.writeFileSync(b.at(name, 'file'), content)
  fs.writeFileSync(b.at(name, 'dir', content), content)
  return b.at(name)
}

/** Names beside the check-outs that are not the test's own. */
function strays(b: Bench): string[] {
  return fs
    .readdirSync(b.dir)
    .filter((name) => name.startsWith('.') && !/\.mirrormesh\.(json|files-[0-9a-f]+-[0-9a-f]+)$/.test(name))
}

test('a destination that exists is refused unless it is our check-out and may be replaced', async (t) => {
  const b = await bench(t)
  const one = await b.import(makeVersion(b, 'one', '1'))
  const two = await b.import(makeVersion(b, 'two', '2'))
  fs.mkdirSync(b.at('theirs'))
  fs.writeFileSync(b.at('theirs', 'precious'), 'x')
  for (const replace of [false, true]) {
    await assert.rejects(b.checkOut(one, b.at('theirs'), { replace }), {
      code: 'conflict',
      hint: /Move it away/,
    })
  }
  fs.symlinkSync('theirs', b.at('link'))
  await assert.rejects(b.checkOut(one, b.at('link'), { replace: true }), { code: 'conflict' })
  assert.deepEqual(fs.readdirSync(b.at('theirs')), ['precious'])

  const label = { tree: 'test', snapshot: one.snapshotCid.toString() }
  await b.checkOut(one, b.at('out'), { replace: true, label })
  assert.equal(readMarker(b.at('out'))?.snapshot, label.snapshot)
  await assert.rejects(b.checkOut(two, b.at('out')), { code: 'conflict' })
  assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('one')))
  await b.checkOut(two, b.at('out'), { replace: true, label: { tree: 'test', snapshot: 'two' } })
  assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('two')))
  assert.equal(readMarker(b.at('out'))?.snapshot, 'two')
  assert.deepEqual(strays(b), [])
})

test('a directory that somebody put in place of our check-out is not ours, marker or not', async (t) => {
  const b = await bench(t)
  const one = await b.import(makeVersion(b, 'one', '1'))
  await b.checkOut(one, b.at('out'))
  fs.rmSync(b.at('out'), { recursive: true })
  fs.mkdirSync(b.at('out'))
  fs.writeFileSync(b.at('out', 'precious'), 'x')
  await assert.rejects(b.checkOut(one, b.at('out'), { replace: true }), { code: 'conflict' })
  assert.deepEqual(fs.readdirSync(b.at('out')), ['precious'])
})

test('a check-out may change its type: directory, file, link, directory', async (t) => {
  const b = await bench(t)
  fs.writeFileSync(b.at('file'), 'f')
  fs.symlinkSync('file', b.at('link'))
  const sources = [makeVersion(b, 'one', '1'), b.at('file'), b.at('link'), makeVersion(b, 'two', '2')]
  for (const source of sources) {
    await b.checkOut(await b.import(source), b.at('out'), { replace: true })
    assert.deepEqual(describeTree(b.at('out')), describeTree(source))
  }
  assert.deepEqual(strays(b), [])
})

test('readers see one whole version or the other while check-outs are switched', async (t) => {
  const b = await bench(t)
  const versions = [
    await b.import(makeVersion(b, 'one', '1')),
    await b.import(makeVersion(b, 'two', '2')),
  ] as const
  await b.checkOut(versions[0], b.at('out'))
  // A thread of its own: a switch is synchronous, so a reader in this thread would never see the middle of one.
  const reader = new Worker(
    `const fs = require('node:fs'); const { workerData, parentPort } = require('node:worker_threads')
     let isOver = false, reads = 0; const wrong = []
     parentPort.on('message', () => { isOver = true })
     const look = () => {
       for (let i = 0; i < 200; i++) {
         reads++
         try {
           const text = fs.readFileSync(workerData, 'utf8')
           if (text !== '1' && text !== '2') wrong.push(text)
         } catch (error) { wrong.push(error.code) }
       }
       if (isOver) { parentPort.postMessage({ reads, wrong }); parentPort.close() } else setImmediate(look)
     }
     look(); parentPort.postMessage('started')`,
    { eval: true, workerData: b.at('out', 'file') },
  )
  await once(reader, 'message')
  for (let round = 0; round < 6; round++) {
    await b.checkOut(versions[(round + 1) % 2]!, b.at('out'), { replace: true })
  }
  const told = once(reader, 'message')
  reader.postMessage('stop')
  const [{ reads, wrong }] = (await told) as [{ reads: number; wrong: string[] }]
  assert.deepEqual(wrong, [])
  assert.ok(reads > 1000)
})

test('a killed check-out leaves nothing at the destination, and the next one clears what is left', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  for (let i = 0; i < 2000; i++) fs.writeFileSync(b.at('source', `f${i}`), `${i}`)
  // A store of its own: the killed process holds it open.
  const dir = b.at('store-2')
  const own = await openStore({ dir, clock: systemClock })
  const { snapshot, snapshotCid } = await importTree(
    { blocks: own.blocks, tempDir: b.at('tmp'), clock: systemClock },
    { path: b.at('source'), tree: 'test', chunker: CHUNKED },
  )
  await own.close()

  const script = new URL('./checkout-stuck.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, dir, snapshotCid.toString(), b.at('out')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  t.after(() => child.kill('SIGKILL'))
  await new Promise((resolve) => child.stdout.once('data', resolve))
  const [left] = strays(b)
  assert.ok(left !== undefined && fs.readdirSync(b.at(left)).length > 0, 'it was in the middle of its work')
  assert.equal(fs.statSync(b.at(left)).mode & 0o777, 0o700)
  const same = await b.import(b.at('source'))
  await assert.rejects(
    b.checkOut(same, b.at('out')),
    { code: 'busy' },
    'two at a time would be in each other’s way',
  )
  child.kill('SIGKILL')
  await exited
  assert.equal(fs.existsSync(b.at('out')), false)
  assert.deepEqual(strays(b), [left])
  const reopened = await openStore({ dir, clock: systemClock })
  await checkOut({ blocks: reopened.blocks, clock: systemClock }, { root: snapshot.root, dest: b.at('out') })
  await reopened.close()
  assert.deepEqual(strays(b), [])
  assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('source')))
})

test('a missing block, a wrong count or an abort ends a check-out and leaves no trace', async (t) => {
  const b = await bench(t)
  const result = await b.import(makeVersion(b, 'one', '1'))
  const metadata = { mode: 0o644, mtimeSec: 0, mtimeNsec: 0, uid: 0, gid: 0 }
  const lost = cidOf(RAW, Buffer.from('nobody has this'))
  const file: Entry = { type: 'file', name: Buffer.from('lost'), sizeBytes: 15, content: lost, ...metadata }
  const blocks: Parameters<typeof b.store.blocks.put>[0][number][] = []
  const directory = buildDirectory([file], (block) => blocks.push(block))
  await b.store.blocks.put(blocks)
  const root: Entry = { type: 'directory', name: new Uint8Array(), directory, ...metadata }
  const ports = { blocks: b.store.blocks, clock: systemClock }
  await assert.rejects(checkOut(ports, { root, dest: b.at('out') }), {
    code: 'not-found',
    facts: { cid: lost.toString() },
  })

  const counts = { ...result.snapshot.counts, files: 1 }
  await assert.rejects(b.checkOut(result, b.at('out'), { counts }), { code: 'corrupt', message: /larger/ })

  const controller = new AbortController()
  const aborted = b.checkOut(result, b.at('out'), { signal: controller.signal })
  controller.abort()
  await assert.rejects(aborted, { code: 'aborted' })
  assert.equal(fs.existsSync(b.at('out')), false)
  assert.deepEqual(strays(b), [])
  await assert.rejects(b.checkOut(result, b.at('no', 'such', 'parent')), {
    code: 'not-found',
    hint: /Create it first/,
  })
})

test('a block that is longer than its file says is not written: sizes are what the room was counted by', async (t) => {
  const b = await bench(t)
  const bytes = noise(100_000)
  const content = cidOf(RAW, bytes)
  await b.store.blocks.put([{ cid: content, bytes }])
  await b.store.blocks.flush()
  const metadata = { mode: 0o644, mtimeSec: 0, mtimeNsec: 0, uid: 0, gid: 0 }
  const root: Entry = { type: 'file', name: new Uint8Array(), sizeBytes: 1, content, ...metadata }
  const ports = { blocks: b.store.blocks, clock: systemClock }
  await assert.rejects(checkOut(ports, { root, dest: b.at('out') }), { code: 'corrupt', message: /100000/ })
  assert.deepEqual(strays(b), [])
})

test('a damaged pack is noticed: nothing wrong is written', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fs.writeFileSync(b.at('source', 'file'), noise(100_000))
  const result = await b.import(b.at('source'))
  for (const name of fs.readdirSync(b.at('store', 'packs'))) {
    const pack = b.at('store', 'packs', name)
    const bytes = fs.readFileSync(pack)
    const at = bytes.indexOf(noise(100_000).subarray(0, 64))
    if (at < 0) continue
    bytes[at + 50]! ^= 1
    fs.writeFileSync(pack, bytes)
  }
  await assert.rejects(b.checkOut(result, b.at('out')), { code: 'not-found' })
  assert.equal(fs.existsSync(b.at('out')), false)
})

test('entries that claim one hard-link group but differ become files of their own', async (t) => {
  const b = await bench(t)
  const own = { uid: process.getuid!(), gid: process.getgid!() }
  const metadata = { mode: 0o644, mtimeSec: 5, mtimeNsec: 0, ...own, link: new Uint8Array(8) }
  const blocks = ['a', 'b'].map((text) => ({ cid: cidOf(RAW, Buffer.from(text)), bytes: Buffer.from(text) }))
  const entries = blocks.map(
    ({ cid, bytes }): Entry => ({ type: 'file', name: bytes, sizeBytes: 1, content: cid, ...metadata }),
  )
  const directory = buildDirectory(entries, (block) => blocks.push(block as (typeof blocks)[number]))
  await b.store.blocks.put(blocks)
  const root: Entry = {
    type: 'directory',
    name: new Uint8Array(),
    directory,
    mode: 0o755,
    mtimeSec: 0,
    mtimeNsec: 0,
    ...own,
  }
  await checkOut({ blocks: b.store.blocks, clock: systemClock }, { root, dest: b.at('out') })
  assert.equal(fs.readFileSync(b.at('out', 'a'), 'utf8'), 'a')
  assert.equal(fs.readFileSync(b.at('out', 'b'), 'utf8'), 'b')
})

test('setuid is withheld and reported where the owner is not restored', async (t) => {
  if (!isRoot && process.env.CI !== 'true') {
    t.skip('needs root')
    return
  }
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fs.writeFileSync(b.at('source', 'suid'), 'x')
  fs.chownSync(b.at('source', 'suid'), 1234, 1234)
  fs.chmodSync(b.at('source', 'suid'), 0o4755)
  const result = await b.import(b.at('source'))
  const { notRestored } = await b.checkOut(result, b.at('out'), { owner: false })
  assert.equal(fs.statSync(b.at('out', 'suid')).mode & 0o7777, 0o755)
  assert.deepEqual(notRestored, {
    count: 1,
    first: [{ path: 'suid', reason: 'setuid or setgid is not set, because its owner is not' }],
  })
})

test('modes and times come back whatever a new file gets by itself', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  const unreadable = isRoot ? [0o000, 0o200] : []
  for (const mode of [...unreadable, 0o400, 0o444, 0o600, 0o644, 0o666, 0o755, 0o777, 0o1644, 0o4755]) {
    for (const each of ['a', 'b']) {
      const file = b.at('source', `${mode.toString(8)}-${each}`)
      fs.writeFileSync(file, file)
      fs.chmodSync(file, mode)
      setTime(file, 1_600_000_000 + mode, 123_456_789)
    }
  }
  const result = await b.import(b.at('source'))
  const before = process.umask()
  t.after(() => process.umask(before))
  for (const mask of [0o000, 0o022, 0o077]) {
    process.umask(mask)
    const dest = b.at(`out-${mask}`)
    const { notRestored } = await b.checkOut(result, dest)
    assert.deepEqual(notRestored, { count: 0, first: [] })
    for (const name of fs.readdirSync(b.at('source'))) {
      const [want, got] = [b.at('source'), dest].map((dir) =>
        fs.lstatSync(`${dir}/${name}`, { bigint: true }),
      )
      assert.deepEqual(
        [got!.mode, got!.mtimeNs, got!.uid, got!.gid],
        [want!.mode, want!.mtimeNs, want!.uid, want!.gid],
        name,
      )
    }
    // What was noted of each file is what it looks like: an update takes all of them over.
    const { reusedFiles } = await b.checkOut(result, dest, { replace: true })
    assert.equal(reusedFiles, result.files)
  }
})

test('a long name has room for its staging place', async (t) => {
  const b = await bench(t)
  const one = await b.import(makeVersion(b, 'one', '1'))
  const dest = b.at('n'.repeat(255))
  await b.checkOut(one, dest)
  await b.checkOut(one, dest, { replace: true })
  assert.deepEqual(describeTree(dest), describeTree(b.at('one')))
  assert.deepEqual(strays(b), [])
})
