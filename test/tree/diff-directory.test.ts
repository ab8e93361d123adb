import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { test } from 'node:test'
import { itemize } from '../../src/dag/itemize.ts'
import { diff } from '../../src/dag/reader.ts'
import { compareTree } from '../../src/tree/compare.ts'
import { diffDirectory } from '../../src/tree/diff-directory.ts'
import type { ImportResult } from '../../src/tree/import.ts'
import type { Bench } from './trees.ts'
import { bench, isRoot, noise, setTime } from './trees.ts'

const hasRsync = spawnSync('rsync', ['--version']).status === 0

function lineOf(items: string, path: readonly Uint8Array[], isDirectory: boolean): string {
  const name = path.map((each) => Buffer.from(each).toString('latin1')).join('/') || '.'
  return `${items} ${name}${isDirectory ? '/' : ''}`
}

async function lines(b: Bench, from: ImportResult, checksum = false): Promise<string[]> {
  const found: string[] = []
  for await (const change of diffDirectory(
    { blocks: b.store.blocks, tempDir: b.dir },
    {
      root: from.snapshot.root,
      dir: Buffer.from(b.at('source')),
      checksum,
    },
  )) {
    found.push(
      lineOf(itemize(change, checksum), change.path, (change.after ?? change.before)?.type === 'directory'),
    )
  }
  return found
}

/** Edits of every kind that rsync tells apart. */
function edit(b: Bench): void {
  fs.appendFileSync(b.at('source', 'grown'), 'more')
  setTime(b.at('source', 'touched'), 1_700_000_001, 5)
  fs.chmodSync(b.at('source', 'mode'), 0o600)
  if (isRoot) fs.chownSync(b.at('source', 'owner'), 12, 34)
  fs.rmSync(b.at('source', 'gone'), { recursive: true })
  fs.mkdirSync(b.at('source', 'new'))
  fs.writeFileSync(b.at('source', 'new', 'file'), 'x')
  fs.symlinkSync('file', b.at('source', 'new', 'link'))
  fs.rmSync(b.at('source', 'link'))
  fs.symlinkSync('elsewhere', b.at('source', 'link'))
  const { mtimeMs } = fs.lstatSync(b.at('source', 'quiet'))
  fs.writeFileSync(b.at('source', 'quiet'), 'QUIET')
  setTime(b.at('source', 'quiet'), Math.floor(mtimeMs / 1000), 0)
}

function fill(b: Bench): void {
  fs.mkdirSync(b.at('source', 'gone', 'deep'), { recursive: true })
  fs.writeFileSync(b.at('source', 'gone', 'deep', 'file'), 'x')
  fs.mkdirSync(b.at('source', 'same'))
  fs.writeFileSync(b.at('source', 'same', 'large'), noise(1_000_000))
  for (const name of ['grown', 'touched', 'mode', 'owner', 'quiet']) {
    fs.writeFileSync(b.at('source', name), 'quiet')
    setTime(b.at('source', name), 1_700_000_000, 0)
  }
  fs.symlinkSync('somewhere', b.at('source', 'link'))
}

test('a folder is itemised against a snapshot as rsync itemises it against the check-out', async (t) => {
  if (!hasRsync && process.env.CI !== 'true') {
    t.skip('needs rsync')
    return
  }
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fill(b)
  const first = await b.import(b.at('source'))
  await b.checkOut(first, b.at('out'), { owner: isRoot })
  assert.deepEqual(await lines(b, first), [])
  edit(b)
  const rsync = execFileSync(
    'rsync',
    ['-rlptgoDin', '--delete', '--modify-window=-1', `${b.at('source')}/`, `${b.at('out')}/`],
    { encoding: 'latin1' },
  )
  const theirs = rsync
    .split('\n')
    .filter(Boolean)
    .map((line) => line.replace(/ -> .*/, '').replace(/^(\S+)\s+\.\/$/, '$1 ./'))
    // The check-out's marker is not of the tree.
    .filter((line) => !line.includes('.mirrormesh'))
  const ours = await lines(b, first)
  assert.deepEqual(
    ours.toSorted(),
    theirs.map((line) => line.replace(/^(\*deleting)\s+/, '$1   ')).toSorted(),
  )
  assert.ok(ours.length >= 12, `${ours.length} changes`)
  assert.ok(!ours.some((line) => line.endsWith(' quiet')), 'size and time are as they were')
})

test('with --checksum bytes are compared, and a time alone is no change of content', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fill(b)
  const first = await b.import(b.at('source'))
  assert.deepEqual(await lines(b, first, true), [])
  edit(b)
  const ours = await lines(b, first, true)
  assert.ok(ours.includes('>fc........ quiet'), ours.join('\n'))
  assert.ok(ours.includes('.f..t...... touched'))
  assert.ok(ours.includes('>fcst...... grown'))
})

test('two snapshots are itemised by their hashes, and what became of another type is new', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fill(b)
  const first = await b.import(b.at('source'))
  edit(b)
  fs.rmSync(b.at('source', 'mode'))
  fs.mkdirSync(b.at('source', 'mode'))
  fs.linkSync(b.at('source', 'grown'), b.at('source', 'new', 'grown'))
  const second = await b.import(b.at('source'))
  const found: string[] = []
  for await (const change of diff(b.store.blocks, first.snapshot.root, second.snapshot.root)) {
    found.push(itemize(change, true) + Buffer.from(change.path.at(-1) ?? []).toString())
  }
  for (const line of [
    '>fc........quiet',
    '.f..t......touched',
    'cd+++++++++mode',
    '>fcst...h..grown',
    'cLc.t......link',
  ]) {
    assert.ok(found.includes(line), `${line} in\n${found.join('\n')}`)
  }
  assert.equal(found.filter((line) => line.startsWith('*deleting  ')).length, 3)
})

test('an empty tree has all of a folder new, and a folder that is not there is an error', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source', 'a'), { recursive: true })
  fs.writeFileSync(b.at('source', 'a', 'b'), '')
  const all: string[] = []
  for await (const change of diffDirectory(
    { blocks: b.store.blocks, tempDir: b.dir },
    { root: undefined, dir: Buffer.from(b.at('source')) },
  )) {
    all.push(itemize(change, false))
  }
  assert.deepEqual(all, ['cd+++++++++', 'cd+++++++++', '>f+++++++++'])
  await assert.rejects(
    async () => {
      for await (const _ of diffDirectory(
        { blocks: b.store.blocks, tempDir: b.dir },
        { root: undefined, dir: Buffer.from(b.at('absent')) },
      ));
    },
    { code: 'not-found', message: /absent/ },
  )
})

test('a folder too large to be listed at once is compared in order, to the end or not', async (t) => {
  const b = await bench(t)
  const nameOf = (index: number): string => `${index}`.padStart(40, '0')
  fs.mkdirSync(b.at('source'))
  for (let index = 0; index < 2500; index++) fs.writeFileSync(b.at('source', nameOf(index)), '')
  const imported = await b.import(b.at('source'))
  fs.rmSync(b.at('source', nameOf(7)))
  fs.writeFileSync(b.at('source', nameOf(1234)), 'more')
  fs.writeFileSync(b.at('source', `${nameOf(2000)}-new`), '')
  assert.deepEqual(
    (await lines(b, imported)).filter((line) => !line.endsWith(' ./')),
    [`*deleting   ${nameOf(7)}`, `>f.st...... ${nameOf(1234)}`, `>f+++++++++ ${nameOf(2000)}-new`],
  )
  const ports = { blocks: b.store.blocks, tempDir: b.dir }
  const kinds: string[] = []
  const { root } = imported.snapshot
  for await (const { kind, path } of compareTree(ports, { root, dir: b.at('source') })) {
    if (path.length > 0) kinds.push(`${kind} ${Buffer.from(path).toString()}`)
  }
  assert.deepEqual(kinds, [
    `missing ${nameOf(7)}`,
    `metadata ${nameOf(1234)}`,
    `content ${nameOf(1234)}`,
    `extra ${nameOf(2000)}-new`,
  ])

  const openFiles = (): number => fs.readdirSync('/proc/self/fd').length
  const before = openFiles()
  for (let round = 0; round < 5; round++) {
    let count = 0
    for await (const _ of diffDirectory(ports, { root, dir: Buffer.from(b.at('source')) })) {
      count += 1
      if (count === 2) break
    }
    for await (const { path } of compareTree(ports, { root, dir: b.at('source') })) if (path.length > 0) break
  }
  assert.equal(openFiles(), before)
})
