import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { makeDirs } from '../../src/posix/make-dirs.ts'

test('folders are made down from the first that is missing, with their mode, and made again without harm', (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-dirs-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  const deep = path.join(dir, 'a/b/c')
  makeDirs(deep, 0o700)
  assert.equal(fs.statSync(path.join(dir, 'a')).mode & 0o777, 0o700)
  fs.chmodSync(deep, 0o750)
  makeDirs(deep, 0o700)
  assert.equal(fs.statSync(deep).mode & 0o777, 0o750)
  fs.writeFileSync(path.join(dir, 'file'), '')
  assert.throws(() => makeDirs(path.join(dir, 'file'), 0o700), { code: 'EEXIST' })
  assert.throws(() => makeDirs(path.join(dir, 'file/below'), 0o700), { code: 'EEXIST' })
})

test('where the system makes no folders the error says so, at once', () => {
  assert.throws(() => makeDirs('/proc/nope/store/packs', 0o700), { code: 'ENOENT', path: '/proc/nope' })
})
