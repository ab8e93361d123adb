import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { DirectoryNames, DirectoryNamesOptions } from '../../src/tree/directory-names.ts'
import { loadDirectoryNames, readDirectoryNames } from '../../src/tree/directory-names.ts'

function collect(names: DirectoryNames): string[] {
  const all: string[] = []
  for (let name = names.next(); name !== undefined; name = names.next()) all.push(name)
  assert.equal(names.next(), undefined)
  names.close()
  return all
}

function makeDirectory(t: TestContext, names: readonly string[]): { dir: Buffer; tempDir: string } {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-names-'))
  t.after(() => fs.rmSync(base, { recursive: true }))
  const [dir, tempDir] = [path.join(base, 'dir'), path.join(base, 'tmp')]
  fs.mkdirSync(dir)
  fs.mkdirSync(tempDir)
  for (const name of names) fs.closeSync(fs.openSync(Buffer.from(`${dir}/${name}`, 'latin1'), 'wx'))
  return { dir: Buffer.from(dir), tempDir }
}

test('names come in the order of their bytes, however they were read', async (t) => {
  // Names that are not UTF-8, prefixes of each other, the longest there are, and what sorts around "/".
  const special = ['\xff', '\x80\x80', 'a', 'a.b', 'a0', 'a\x01', 'A', '~', 'x'.repeat(255), ' ', 'é']
  const names = [...special, ...Array.from({ length: 3000 }, (_, i) => `f${(i * 7919) % 3000}`)]
  const { dir, tempDir } = makeDirectory(t, names)
  const expected = [...names].sort((a, b) =>
    Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')),
  )
  const ways: Omit<DirectoryNamesOptions, 'tempDir'>[] = [
    { smallDirectory: Number.MAX_SAFE_INTEGER },
    { smallDirectory: -1 },
    { smallDirectory: -1, pieceNames: 100 },
    { smallDirectory: -1, pieceNames: 64, maxPieces: 3 },
    { smallDirectory: -1, pieceNames: 1, maxPieces: 500 },
    { smallDirectory: -1, pieceNames: names.length },
  ]
  for (const way of ways) {
    assert.deepEqual(collect(readDirectoryNames(dir, 0, { tempDir, ...way })), expected)
    assert.deepEqual(collect(await loadDirectoryNames(dir, 0, { tempDir, ...way })), expected)
    assert.deepEqual(fs.readdirSync(tempDir), [], 'a temporary file has a name')
  }
})

test('an empty directory has no names', (t) => {
  const { dir, tempDir } = makeDirectory(t, [])
  assert.deepEqual(collect(readDirectoryNames(dir, 0, { tempDir, smallDirectory: -1 })), [])
})

test('files are closed whether the names were taken or not', async (t) => {
  const { dir, tempDir } = makeDirectory(
    t,
    Array.from({ length: 500 }, (_, i) => `f${i}`),
  )
  const openFiles = (): number => fs.readdirSync('/proc/self/fd').length
  const before = openFiles()
  for (let round = 0; round < 20; round++) {
    for (const read of [readDirectoryNames, loadDirectoryNames]) {
      const names = await read(dir, 0, { tempDir, smallDirectory: -1, pieceNames: 100 })
      assert.equal(names.next(), 'f0')
      names.close()
      names.close()
    }
  }
  const missing = Buffer.concat([dir, Buffer.from('/none')])
  assert.throws(() => readDirectoryNames(missing, 1e9, { tempDir }), { code: 'ENOENT' })
  await assert.rejects(loadDirectoryNames(missing, 1e9, { tempDir }), { code: 'ENOENT' })
  assert.equal(openFiles(), before)
})
