import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isMirrorError } from '../../src/base/errors.ts'
import { checkShrink } from '../../src/replica/publish/shrink-guard.ts'

const OPTIONS = { maxShare: 0.3, isAccepted: false, isEmptyAccepted: false, source: '/src', tree: 't' }

test('what loses no more than the share passes, what loses more waits for a yes', () => {
  const many = fc.integer({ min: 10, max: 1_000_000 })
  const large = fc.integer({ min: 1_000_000, max: 1e12 })
  fc.assert(
    fc.property(
      many,
      large,
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1.5, noNaN: true }),
      (files, bytes, maxShare, left) => {
        const before = { files, bytes }
        const after = { files: Math.max(1, Math.round(files * left)), bytes: Math.round(bytes * left) }
        const isTooMuch = (files - after.files) / files > maxShare || (bytes - after.bytes) / bytes > maxShare
        const check = (isAccepted: boolean): void =>
          checkShrink(before, after, { ...OPTIONS, maxShare, isAccepted })
        if (isTooMuch)
          assert.throws(
            () => check(false),
            (error) => isMirrorError(error, 'refused') && /accept-shrink/.test(error.hint ?? ''),
          )
        else check(false)
        check(true)
      },
    ),
  )
})

test('a small tree may lose a file, no tree may lose all of them unsaid, an old head may say nothing', () => {
  checkShrink({ files: 3, bytes: 3000 }, { files: 1, bytes: 10 }, OPTIONS)
  const before = { files: 3, bytes: 3000 }
  assert.throws(
    () => checkShrink(before, { files: 0, bytes: 0 }, { ...OPTIONS, isAccepted: true }),
    /holds no file/,
  )
  checkShrink(before, { files: 0, bytes: 0 }, { ...OPTIONS, isEmptyAccepted: true })
  checkShrink({ files: undefined, bytes: undefined }, { files: 0, bytes: 0 }, OPTIONS)
  checkShrink({ files: 100, bytes: 1e9 }, { files: 1, bytes: 1 }, { ...OPTIONS, maxShare: 1 })
})

test('the message says how much of what is gone', () => {
  assert.throws(
    () => checkShrink({ files: 200, bytes: 5e6 }, { files: 100, bytes: 5e6 }, OPTIONS),
    /\/src has lost 50 % of its 200 files since the newest snapshot of t$/,
  )
})
