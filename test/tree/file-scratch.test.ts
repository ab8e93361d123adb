import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import type { Scratch } from '../../src/dag/scratch.ts'
import { createMemoryScratch } from '../../src/dag/scratch.ts'
import { createFileScratch } from '../../src/tree/spool/file-scratch.ts'

/** What every scratch does. */
function checkScratch(scratch: Scratch): void {
  const [a, b] = [scratch.open(), scratch.open()]
  a.append(utf8('one'))
  b.append(utf8('two'))
  a.append(new Uint8Array())
  a.append(new Uint8Array(5000).fill(0x61))
  assert.equal(a.sizeBytes, 5003)
  const into = new Uint8Array(4)
  a.read(1, into)
  assert.deepEqual(into, utf8('neaa'))
  b.read(0, into.subarray(0, 3))
  assert.deepEqual(into, utf8('twoa'))
  a.read(5003, into.subarray(0, 0))
  assert.throws(() => a.read(5000, into), RangeError)
  a.close()
  b.close()
}

test('scratch in memory keeps what was appended', () => checkScratch(createMemoryScratch()))

test('scratch in files keeps what was appended, and leaves no name behind', (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-scratch-'))
  t.after(() => fs.rmSync(dir, { recursive: true }))
  checkScratch(createFileScratch(dir))
  const file = createFileScratch(dir).open()
  file.append(utf8('x'))
  assert.deepEqual(fs.readdirSync(dir), [])
  file.close()
})
