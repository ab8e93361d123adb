import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../../src/base/bytes.ts'
import type { PathFilter, PathRule } from '../../src/base/path-filter.ts'
import { compileFilter, covers, filterKey, isFilterPath, unionOf } from '../../src/base/path-filter.ts'

const NAMES = ['a', 'b', 'ab']
const path = fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 })
const paths = fc
  .uniqueArray(
    path.map((names) => names.join('/')),
    { maxLength: 3 },
  )
  .map((list) => list.toSorted())
const rule: fc.Arbitrary<PathRule> = fc.record({ include: paths, exclude: paths })
const filters: fc.Arbitrary<PathFilter> = fc.array(rule, { minLength: 1, maxLength: 2 })

/** By the definition, on text. */
function takes(filter: PathFilter, names: readonly string[]): boolean {
  const whole = names.join('/')
  const under = (above: string): boolean => whole === above || whole.startsWith(`${above}/`)
  return filter.some(
    ({ include, exclude }) => (include.length === 0 || include.some(under)) && !exclude.some(under),
  )
}

/** All paths of up to five names. */
function* everyPath(depth = 5): Generator<string[]> {
  yield []
  if (depth === 0) return
  for (const below of everyPath(depth - 1)) for (const name of NAMES) yield [name, ...below]
}
const all = [...new Map([...everyPath()].map((names) => [names.join('/'), names])).values()]

test('a path is reached in full, in part or not at all, as what lies below it is taken', () => {
  fc.assert(
    fc.property(filters, (filter) => {
      const reach = compileFilter(filter)
      for (const names of all) {
        if (names.length === 0 || names.length > 4) continue
        const found = reach(names.map(utf8))
        if (found === 'all') assert.ok(takes(filter, names))
        const below = all.filter(
          (each) => each.length >= names.length && names.every((n, i) => n === each[i]),
        )
        const taken = below.filter((each) => takes(filter, each)).length
        if (found === 'all') assert.equal(taken, below.length, names.join('/'))
        if (found === 'none') assert.equal(taken, 0, names.join('/'))
        // What is taken itself, and not all of it, is a folder that something is left out of.
        if (found === 'some' && takes(filter, names))
          assert.ok(filter.some(({ exclude }) => exclude.length > 0))
      }
    }),
    { numRuns: 60 },
  )
})

test('a filter that covers another takes whatever that takes, and itself', () => {
  let covered = 0
  fc.assert(
    fc.property(filters, filters, (whole, part) => {
      assert.ok(covers(undefined, part) && !covers(part, undefined))
      assert.ok(covers(whole, whole), filterKey(whole))
      if (!covers(whole, part)) return
      covered++
      for (const names of all)
        if (names.length > 0 && takes(part, names)) assert.ok(takes(whole, names), names.join('/'))
    }),
    { numRuns: 400 },
  )
  assert.ok(covered > 5, `${covered}`)
})

test('a union takes what any takes, in one spelling', () => {
  fc.assert(
    fc.property(filters, filters, (a, b) => {
      const union = unionOf([a, b])!
      for (const names of all) {
        if (names.length > 0) assert.equal(takes(union, names), takes(a, names) || takes(b, names))
      }
      assert.equal(filterKey(union), filterKey(unionOf([b, a, b])!))
      assert.equal(unionOf([a, undefined]), undefined)
    }),
    { numRuns: 60 },
  )
})

test('paths of a filter are plain names joined by slashes', () => {
  for (const good of ['x', 'x86_64', 'a/b c/é', '.hidden']) assert.ok(isFilterPath(good), good)
  for (const bad of ['', '/', '/a', 'a/', 'a//b', '.', 'a/../b', 'a\0', 'x'.repeat(256), 'a/'.repeat(600), 7])
    assert.equal(isFilterPath(bad), false, String(bad))
})
