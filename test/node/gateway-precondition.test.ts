import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkConditions, httpDate, modifiedSecOf, rangeApplies } from '../../node/gateway/precondition.ts'

const moving = { etag: '"abc"', modifiedSec: 1_700_000_000, isImmutable: false }
const fixed = { ...moving, isImmutable: true }
const date = httpDate(moving.modifiedSec)

test('If-None-Match compares weakly, lists and the star included', () => {
  for (const value of ['"abc"', 'W/"abc"', '"x", "abc"', '*']) {
    assert.equal(checkConditions({ 'if-none-match': value }, moving), 'not-modified', value)
  }
  for (const value of ['"abd"', 'abc', '"ab"c"', '']) {
    assert.equal(checkConditions({ 'if-none-match': value }, moving), 'proceed', value)
  }
})

test('If-None-Match makes If-Modified-Since count for nothing', () => {
  assert.equal(checkConditions({ 'if-none-match': '"x"', 'if-modified-since': date }, moving), 'proceed')
})

test('If-Modified-Since must be exactly the date: a tree may go back to an older file', () => {
  assert.equal(checkConditions({ 'if-modified-since': date }, moving), 'not-modified')
  assert.equal(checkConditions({ 'if-modified-since': httpDate(moving.modifiedSec + 60) }, moving), 'proceed')
  assert.equal(checkConditions({ 'if-modified-since': 'yesterday' }, moving), 'proceed')
  assert.equal(checkConditions({ 'if-modified-since': '5' }, moving), 'proceed')
})

test('If-Match compares strongly and fails the request', () => {
  assert.equal(checkConditions({ 'if-match': '"abc"' }, moving), 'proceed')
  assert.equal(checkConditions({ 'if-match': '*' }, moving), 'proceed')
  assert.equal(checkConditions({ 'if-match': 'W/"abc"' }, moving), 'failed')
  assert.equal(checkConditions({ 'if-match': '"x"' }, moving), 'failed')
  assert.equal(checkConditions({ 'if-unmodified-since': httpDate(0) }, moving), 'failed')
  assert.equal(checkConditions({ 'if-unmodified-since': date }, moving), 'proceed')
})

test('If-Range: the tag always, a date only where the address never moves', () => {
  assert.equal(rangeApplies(undefined, moving), true)
  assert.equal(rangeApplies('"abc"', moving), true)
  assert.equal(rangeApplies('W/"abc"', moving), false)
  assert.equal(rangeApplies('"x"', moving), false)
  assert.equal(rangeApplies(date, moving), false)
  assert.equal(rangeApplies(date, fixed), true)
  assert.equal(rangeApplies(httpDate(0), fixed), false)
})

test('Last-Modified is never in the future, and absent where no date can say it', () => {
  assert.equal(modifiedSecOf(2_000_000_000, 1_700_000_000_000), 1_700_000_000)
  assert.equal(modifiedSecOf(-5, 1_700_000_000_000), -5)
  assert.equal(modifiedSecOf(-1e12, 1_700_000_000_000), undefined)
})
