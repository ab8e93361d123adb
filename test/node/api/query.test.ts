import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { pathBytes } from '../../../node/api/path-bytes.ts'
import { readQuery, splitPath } from '../../../node/api/query.ts'
import { treeUrl } from '../../../node/cli/tree-url.ts'
import { printableName, utf8 } from '../../../src/base/bytes.ts'
import { isMirrorError } from '../../../src/base/errors.ts'

test('any path of text reaches the API byte for byte', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (path) => {
      fc.pre(!/\\x[0-9a-f]{2}|\\u\{/.test(path))
      const query = readQuery(treeUrl({ tree: 'a/b', ref: '7', path }, 'file'))
      assert.deepEqual(Buffer.from(query.bytes('path')), Buffer.from(path, 'utf8'))
      assert.equal(query.text('ref'), '7')
    }),
  )
})

test('what a listing prints of a name that is not text leads back to the name', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (name) => {
      // C1 controls in valid UTF-8 print like the bytes 80 to 9f: those names alone have no printable way back.
      fc.pre(!/[\u0080-\u009f]/.test(Buffer.from(name).toString('utf8')))
      assert.deepEqual(Buffer.from(pathBytes(printableName(name))), Buffer.from(name))
    }),
  )
})

test('a path is taken apart at slashes, and empty names do not count', () => {
  const names = splitPath(utf8('//a/b b//c/')).map((name) => Buffer.from(name).toString())
  assert.deepEqual(names, ['a', 'b b', 'c'])
  assert.deepEqual(splitPath(utf8('/')), [])
})

test('a malformed query is refused in words', () => {
  for (const query of ['x=%', 'x=%f', 'x=%zz', 'x=é']) {
    assert.throws(
      () => readQuery(`/api?${query}`),
      (error) => isMirrorError(error, 'invalid'),
      query,
    )
  }
  assert.throws(() => readQuery('/api?ref=%ff').text('ref'), /ref is not UTF-8/)
  assert.throws(() => readQuery('/api').text('ref'), /lacks ref/)
  assert.equal(readQuery('/api').optionalText('ref'), undefined)
})
