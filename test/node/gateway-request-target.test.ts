import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeName, MAX_TARGET_BYTES, parseTarget } from '../../node/gateway/request-target.ts'
import { isMirrorError } from '../../src/base/errors.ts'

const names = (target: string): string[] =>
  parseTarget(target).segments.map((segment) => Buffer.from(segment.name).toString('latin1'))

test('a path is taken apart into names and a trailing slash', () => {
  assert.deepEqual(names('/builds/a%20b/c'), ['builds', 'a b', 'c'])
  assert.equal(parseTarget('/builds/').hasTrailingSlash, true)
  assert.equal(parseTarget('/builds').hasTrailingSlash, false)
  assert.equal(parseTarget('/').hasTrailingSlash, true)
  assert.equal(parseTarget('/x?format=json').query.get('format'), 'json')
})

test('empty segments are skipped, so no path can become an authority', () => {
  assert.deepEqual(names('//evil.example//x'), ['evil.example', 'x'])
})

test('the absolute form is accepted and its authority dropped', () => {
  assert.deepEqual(names('http://other.example:8080/a/b'), ['a', 'b'])
  assert.deepEqual(names('http://other.example'), [])
})

test('traversal is refused, plain and encoded', () => {
  for (const target of ['/a/../b', '/a/%2e%2e/b', '/a/.%2E', '/./a', '/%2e', '/..', '/a/..%2fb']) {
    assert.throws(
      () => parseTarget(target),
      (error) => isMirrorError(error, 'invalid'),
      target,
    )
  }
  assert.deepEqual(names('/...'), ['...'])
  assert.deepEqual(names('/..a'), ['..a'])
})

test('encoded slashes, NUL, broken escapes and controls are refused', () => {
  for (const target of [
    '/a%2Fb',
    '/a%2fb',
    '/a%00',
    '/a%',
    '/a%4',
    '/a%zz',
    '/a\u0001b',
    'a',
    '*',
    '/\u0416',
  ]) {
    assert.throws(
      () => parseTarget(target),
      (error) => isMirrorError(error, 'invalid'),
      target,
    )
  }
})

test('a backslash and an encoded newline are only bytes of a name', () => {
  assert.deepEqual(names('/a%5c..%5cb/c%0ad'), ['a\\..\\b', 'c\nd'])
})

test('length and depth are bounded', () => {
  assert.throws(
    () => parseTarget(`/${'a'.repeat(MAX_TARGET_BYTES)}`),
    (error) => isMirrorError(error, 'limit'),
  )
  assert.throws(
    () => parseTarget(`/${'a'.repeat(256)}`),
    (error) => isMirrorError(error, 'limit'),
  )
  assert.throws(
    () => parseTarget('/a'.repeat(1025)),
    (error) => isMirrorError(error, 'limit'),
  )
  assert.equal(parseTarget('/a'.repeat(1024)).segments.length, 1024)
})

test('only a plain @ may name a version', () => {
  assert.equal(parseTarget('/t/@12').segments[1]?.isSelector, true)
  assert.equal(parseTarget('/t/%4012').segments[1]?.isSelector, false)
  assert.equal(parseTarget('/t/a@12').segments[1]?.isSelector, false)
})

test('every name survives encoding and parsing, byte for byte', () => {
  const byte = fc.integer({ min: 1, max: 255 }).filter((value) => value !== 0x2f)
  fc.assert(
    fc.property(fc.array(byte, { minLength: 1, maxLength: 255 }), (bytes) => {
      const name = Uint8Array.from(bytes)
      const text = Buffer.from(name).toString('latin1')
      fc.pre(text !== '.' && text !== '..')
      const encoded = encodeName(name)
      assert.match(encoded, /^[A-Za-z0-9._~%-]+$/)
      assert.deepEqual(parseTarget(`/${encoded}`).segments[0]?.name, name)
    }),
  )
})

test('whatever the target, parsing ends in names or in an error that says why', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      try {
        for (const { name } of parseTarget(`/${text}`).segments) {
          const shown = Buffer.from(name).toString('latin1')
          assert.ok(shown !== '' && shown !== '.' && shown !== '..' && !/[/\0]/.test(shown))
        }
      } catch (error) {
        assert.ok(isMirrorError(error, 'invalid') || isMirrorError(error, 'limit'), String(error))
      }
    }),
  )
})
