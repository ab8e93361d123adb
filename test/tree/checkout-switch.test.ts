import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { systemClock } from '../../src/base/clock.ts'
import { exchange } from '../../src/posix/rename.ts'
import { openStore } from '../../src/store/store.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { createStaging } from '../../src/tree/checkout/staging.ts'
import { finishSwitch, switchTo } from '../../src/tree/checkout/switch.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { readMarker, rootIdentity } from '../../src/tree/manifest/checkout-marker.ts'
import { skipWithout } from '../needs.ts'
import type { Bench } from './trees.ts'
import { bench, describeTree, setTime } from './trees.ts'

function makeVersion(b: Bench, name: string, content: string, files = 3): string {
  fs.mkdirSync(b.at(name, 'dir'), { recursive: true })
  for (let i = 0; i < files; i++) {
    fs.writeFileSync(b.at(name, 'dir', `same${i}`), `same ${i}`)
    setTime(b.at(name, 'dir', `same${i}`), 1_000_000_000, 1)
  }
  for (let i = 0; i < 3; i++) fs.writeFileSync(b.at(name, `file${i}`), content)
  return b.at(name)
}

function hidden(b: Bench): string[] {
  return fs.readdirSync(b.dir).filter((name) => /^\.out\.mirrormesh-[0-9a-f]{16}$/.test(name))
}

test('an empty folder is taken only when that was asked for, one with something in it never', async (t) => {
  const b = await bench(t)
  const one = await b.import(makeVersion(b, 'one', '1'))
  fs.mkdirSync(b.at('out'))
  await assert.rejects(b.checkOut(one, b.at('out'), { replace: true }), {
    code: 'conflict',
    hint: /--take-empty/,
  })
  fs.writeFileSync(b.at('out', 'precious'), 'x')
  await assert.rejects(b.checkOut(one, b.at('out'), { replace: true, takeEmpty: true }), { code: 'conflict' })
  fs.unlinkSync(b.at('out', 'precious'))
  await b.checkOut(one, b.at('out'), { takeEmpty: true })
  assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('one')))
  assert.deepEqual(hidden(b), [])
})

test('a mount point is refused, and so is a check-out that has one in it', async (t) => {
  const b = await bench(t)
  const one = await b.import(makeVersion(b, 'one', '1'))
  await assert.rejects(b.checkOut(one, '/proc', { replace: true, takeEmpty: true }), {
    code: 'conflict',
    message: /mount/,
  })
  await assert.rejects(b.checkOut(one, '/', { replace: true }), { code: 'invalid' })
})

test('a replaced tree is kept for its time and then removed, open files and all', async (t) => {
  const b = await bench(t)
  const one = await b.import(makeVersion(b, 'one', '1'))
  const two = await b.import(makeVersion(b, 'two', '2'))
  let nowMs = 1_000_000
  const clock = { ...systemClock, nowMs: () => nowMs }
  const move = (version: typeof one) =>
    checkOut(
      { blocks: b.store.blocks, clock },
      { root: version.snapshot.root, dest: b.at('out'), replace: true, keepOldSeconds: 60 },
    )
  await move(one)
  await move(two)
  const [first] = hidden(b)
  assert.ok(first !== undefined)
  assert.equal(fs.readFileSync(b.at(first, 'file0'), 'utf8'), '1')
  nowMs += 59_000
  await move(one)
  assert.equal(hidden(b).length, 2)
  assert.equal(readMarker(b.at('out'))?.old?.length, 2)
  nowMs += 2_000
  const { files, reusedFiles } = await move(two)
  assert.ok(!hidden(b).includes(first))
  assert.equal(hidden(b).length, 2)
  assert.ok(files > 0 && reusedFiles > 0)
  assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('two')))
  nowMs += 3_600_000
  await checkOut(
    { blocks: b.store.blocks, clock },
    { root: two.snapshot.root, dest: b.at('out'), replace: true },
  )
  assert.deepEqual(hidden(b), [])
  assert.equal(readMarker(b.at('out'))?.old, undefined)
  assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('two')))
})

test('where names cannot be exchanged two renames do it, and what is protected comes over all the same', async (t) => {
  const b = await bench(t)
  await b.checkOut(await b.import(makeVersion(b, 'one', '1')), b.at('out'))
  for (const code of ['EINVAL', 'ENOSYS']) {
    fs.mkdirSync(b.at('out', 'mine'), { recursive: true })
    fs.writeFileSync(b.at('out', 'mine', 'data'), code)
    const staging = createStaging(Buffer.from(b.at('out')), 'directory')
    fs.writeFileSync(`${staging.path}/new`, code)
    const old = switchTo(staging, Buffer.from(b.at('out')), {
      allowed: { mayReplace: true, mayTakeEmpty: false },
      label: undefined,
      local: [Buffer.from('mine')],
      protect: [],
      keepOldMs: 0,
      nowMs: 0,
      swap: () => {
        throw Object.assign(new Error(code), { code })
      },
    })
    staging.release()
    assert.ok(old !== undefined && fs.existsSync(old))
    assert.equal(fs.readFileSync(b.at('out', 'new'), 'utf8'), code)
    assert.equal(fs.readFileSync(b.at('out', 'mine', 'data'), 'utf8'), code)
  }
})

test('killed between the switch and the coming over of what is protected, the next look ends it', async (t) => {
  const b = await bench(t)
  await b.checkOut(await b.import(makeVersion(b, 'one', '1')), b.at('out'))
  fs.mkdirSync(b.at('out', 'mine'))
  fs.writeFileSync(b.at('out', 'mine', 'data'), 'before')
  const staging = createStaging(Buffer.from(b.at('out')), 'directory')
  // As the writing threads leave it: a stand-in with second names.
  fs.mkdirSync(`${staging.path}/mine`)
  fs.linkSync(b.at('out', 'mine', 'data'), `${staging.path}/mine/data`)
  let swaps = 0
  assert.throws(
    () =>
      switchTo(staging, Buffer.from(b.at('out')), {
        allowed: { mayReplace: true, mayTakeEmpty: false },
        label: undefined,
        local: [Buffer.from('mine')],
        protect: [],
        keepOldMs: 0,
        nowMs: 0,
        swap: (from, to) => {
          if (swaps++ > 0) throw new Error('killed')
          exchange(from, to)
        },
      }),
    /killed/,
  )
  staging.release()
  const original = fs.statSync(`${staging.path}/mine`).ino
  fs.writeFileSync(`${staging.path}/mine/written-by-an-open-folder`, 'late')
  fs.writeFileSync(b.at('out', 'mine', 'written-by-a-path'), 'late')
  for (let again = 0; again < 2; again++) finishSwitch(Buffer.from(b.at('out')), [staging.path])
  assert.equal(fs.statSync(b.at('out', 'mine')).ino, original)
  assert.deepEqual(fs.readdirSync(b.at('out', 'mine')).sort(), [
    'data',
    'written-by-a-path',
    'written-by-an-open-folder',
  ])
})

/** As a check-out that was killed in the middle of a switch leaves it. */
function plantSwitch(b: Bench, moving: { readonly path: string; readonly identity: string }): Buffer {
  const old = b.at('.out.mirrormesh-0123456789abcdef')
  const [before, after] = [old, b.at('out')].map((path) => {
    fs.mkdirSync(path)
    return rootIdentity(Buffer.from(path))!
  })
  const marker = { version: 1, roots: [before, after], moving: [moving] }
  fs.writeFileSync(b.at('.out.mirrormesh.json'), JSON.stringify(marker))
  return Buffer.from(old)
}

test('a link on the way to what is to come over leads nobody out of the check-out', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('etc'))
  fs.writeFileSync(b.at('etc', 'shadow'), 'right')
  const identity = rootIdentity(Buffer.from(b.at('etc', 'shadow')))!
  for (const path of ['sub/shadow', '../etc/shadow', 'x/../../etc/shadow']) {
    const old = plantSwitch(b, { path, identity })
    fs.symlinkSync(b.at('etc'), `${old}/sub`)
    fs.mkdirSync(`${old}/x`)
    for (const folder of ['sub', 'x', '../x']) fs.mkdirSync(b.at('out', folder), { recursive: true })
    fs.writeFileSync(b.at('out', 'sub', 'shadow'), 'planted')
    assert.throws(() => finishSwitch(Buffer.from(b.at('out')), [old]), path)
    assert.equal(fs.readFileSync(b.at('etc', 'shadow'), 'utf8'), 'right', path)
    assert.equal(fs.readFileSync(b.at('out', 'sub', 'shadow'), 'utf8'), 'planted', path)
    for (const each of [`${old}`, b.at('out'), b.at('x')]) fs.rmSync(each, { recursive: true })
  }
})

test('a marker that somebody else put into a folder that all may write in is none', {
  skip: skipWithout(),
}, async (t) => {
  const b = await bench(t)
  const one = await b.import(makeVersion(b, 'one', '1'))
  fs.mkdirSync(b.at('open'))
  const out = b.at('open', 'out')
  await b.checkOut(one, out)
  const [marker] = fs.readdirSync(b.at('open')).filter((name) => name.endsWith('.json'))
  fs.chownSync(b.at('open', marker!), 1000, 1000)
  assert.notEqual(readMarker(out), undefined, 'nobody else may write here')
  fs.chmodSync(b.at('open'), 0o1777)
  assert.equal(readMarker(out), undefined)
  await assert.rejects(b.checkOut(one, out, { replace: true }), { code: 'conflict' })
  fs.chownSync(b.at('open'), 1000, 1000)
  assert.notEqual(readMarker(out), undefined, 'whose folder it is')
})

test('killed anywhere in an update, the check-out is a whole version, and the next update is right', async (t) => {
  const b = await bench(t)
  const sources = [makeVersion(b, 'one', '1', 400), makeVersion(b, 'two', '2', 420)]
  const dir = b.at('store-2')
  const own = await openStore({ dir, clock: systemClock })
  const snapshots: string[] = []
  const roots = []
  for (const path of sources) {
    const ports = { blocks: own.blocks, tempDir: b.at('tmp'), clock: systemClock }
    const { snapshot, snapshotCid } = await importTree(ports, { path, tree: 'test' })
    snapshots.push(snapshotCid.toString())
    roots.push(snapshot.root)
  }
  await checkOut({ blocks: own.blocks, clock: systemClock }, { root: roots[0]!, dest: b.at('out') })
  await own.close()
  const expected = sources.map((source) => describeTree(source))
  const script = new URL('./checkout-again.ts', import.meta.url).pathname
  for (let round = 0; round < 8; round++) {
    const child = spawn(process.execPath, [script, dir, b.at('out'), ...snapshots], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = once(child, 'exit')
    await once(child.stdout, 'data')
    // It moves back and forth without end: somewhere in that it dies.
    const endMs = performance.now() + 40 + round * 37
    while (performance.now() < endMs) await new Promise((resolve) => setImmediate(resolve))
    child.kill('SIGKILL')
    await exited
    const found = describeTree(b.at('out'))
    const links = (lines: string[]): string[] => lines.filter((line) => !line.startsWith('links'))
    assert.ok(
      expected.some((lines) => JSON.stringify(lines) === JSON.stringify(links(found))),
      `round ${round}: it is neither the one nor the other`,
    )
  }
  const store = await openStore({ dir, clock: systemClock })
  t.after(() => store.close())
  for (const index of [0, 1]) {
    await checkOut(
      { blocks: store.blocks, clock: systemClock },
      { root: roots[index]!, dest: b.at('out'), replace: true },
    )
    assert.deepEqual(describeTree(b.at('out')), expected[index])
  }
  assert.deepEqual(hidden(b), [])
})

for (const keepOldSeconds of [0, 3600]) {
  const how = keepOldSeconds === 0 ? 'where old trees go at once' : 'where old trees stay, whole to its end'
  test(`a reader that opens the folder sees one version in each pass, and never none, ${how}`, async (t) => {
    const b = await bench(t)
    const versions = [
      await b.import(makeVersion(b, 'one', '1')),
      await b.import(makeVersion(b, 'two', '2')),
    ] as const
    await b.checkOut(versions[0], b.at('out'))
    const reader = new Worker(
      `const fs = require('node:fs'); const { workerData, parentPort } = require('node:worker_threads')
     const { dest, isKept } = workerData; let isOver = false, passes = 0; const wrong = []
     parentPort.on('message', () => { isOver = true })
     const pass = () => {
       passes++
       let fd
       try { fd = fs.openSync(dest, 'r') } catch (error) { wrong.push('root ' + error.code); return }
       const seen = new Set()
       const at = '/proc/self/fd/' + fd
       try {
         for (let i = 0; i < 3; i++) {
           seen.add(fs.readFileSync(at + '/file' + i, 'utf8'))
           if (fs.readFileSync(at + '/dir/same' + i, 'utf8') !== 'same ' + i) wrong.push('same')
         }
         if (seen.size !== 1) wrong.push([...seen].join())
       } catch (error) {
         // The tree that it has open was removed meanwhile; without a time to keep it that may be.
         if (isKept || error.code !== 'ENOENT') wrong.push(error.code)
       }
       fs.closeSync(fd)
     }
     const look = () => {
       for (let i = 0; i < 20; i++) pass()
       if (isOver) { parentPort.postMessage({ passes, wrong }); parentPort.close() } else setImmediate(look)
     }
     look(); parentPort.postMessage('started')`,
      { eval: true, workerData: { dest: b.at('out'), isKept: keepOldSeconds > 0 } },
    )
    await once(reader, 'message')
    for (let round = 0; round < 15; round++) {
      await b.checkOut(versions[(round + 1) % 2]!, b.at('out'), {
        replace: true,
        workers: 1,
        keepOldSeconds,
      })
    }
    const told = once(reader, 'message')
    reader.postMessage('stop')
    const [{ passes, wrong }] = (await told) as [{ passes: number; wrong: string[] }]
    assert.deepEqual(wrong, [])
    assert.ok(passes > 100)
    if (keepOldSeconds > 0) assert.equal(hidden(b).length, 15)
  })
}
