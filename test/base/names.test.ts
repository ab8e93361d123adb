import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMirrorError } from '../../src/base/errors.ts'
import { checkSegment, isSegment, isTreeName, isTreePattern, matchesTree } from '../../src/base/names.ts'

test('a segment is 1 to 64 of the safe characters, and begins with a letter or digit', () => {
  for (const good of ['a', '0', 'brq-lab-7', 'rhel_9.4', 'a'.repeat(64)]) assert.ok(isSegment(good), good)
  for (const bad of [
    '',
    '.',
    '..',
    '-a',
    '.a',
    'A',
    'a/b',
    'a b',
    'ä',
    'a\n',
    'a'.repeat(65),
    7,
    undefined,
  ]) {
    assert.equal(isSegment(bad), false, String(bad))
    assert.throws(
      () => checkSegment(bad, 'a site'),
      (error) => isMirrorError(error, 'invalid'),
    )
  }
})

test("a tree's name is 1 to 8 segments", () => {
  for (const good of ['a', 'builds/rhel-9/nightly', 'a/b/c/d/e/f/g/h']) assert.ok(isTreeName(good), good)
  for (const bad of [
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    'a/../b',
    'a/*',
    'a/b/c/d/e/f/g/h/i',
    'a/'.repeat(100_000),
  ]) {
    assert.equal(isTreeName(bad), false, bad.slice(0, 40))
  }
})

test('a pattern matches within a segment with *, and across segments with **', () => {
  const cases: [pattern: string, name: string, isMatch: boolean][] = [
    ['logs/brq-*', 'logs/brq-7', true],
    ['logs/brq-*', 'logs/brq-7/a', false],
    ['logs/brq-*', 'logs/brq', false],
    ['*', 'a', true],
    ['*', 'a/b', false],
    ['**', 'a/b/c', true],
    ['builds/**', 'builds', true],
    ['builds/**/nightly', 'builds/rhel/9/nightly', true],
    ['builds/**/nightly', 'builds/rhel/9/weekly', false],
    ['a*b*c', 'axxbyyc', true],
    ['a*b*c', 'axxbyy', false],
    ['exact', 'exact', true],
    ['exact', 'exactly', false],
  ]
  for (const [pattern, name, isMatch] of cases) {
    assert.ok(isTreePattern(pattern), pattern)
    assert.equal(matchesTree(pattern, name), isMatch, `${pattern} ${name}`)
  }
  for (const bad of ['', 'a/../b', 'A*', '/**', 'a/***b/']) assert.equal(isTreePattern(bad), false, bad)
})

test('no pattern takes exponential time', () => {
  const pattern = Array(8).fill('a*a*a*a*a*a*a*a*').join('/')
  const name = Array(8).fill('a'.repeat(64)).join('/')
  const startMs = performance.now()
  for (let i = 0; i < 100; i++) matchesTree(pattern, `${name.slice(0, -1)}b`)
  assert.ok(performance.now() - startMs < 1000)
})
