import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readWebUrl } from '../../src/base/web-url.ts'

test('an address of a gateway has one form', () => {
  assert.equal(readWebUrl('http://lab-a.example:8080'), 'http://lab-a.example:8080/')
  assert.equal(readWebUrl('HTTPS://Lab-A.example:443/'), 'https://lab-a.example/')
  assert.equal(readWebUrl('http://[2001:db8::1]:8080/'), 'http://[2001:db8::1]:8080/')
  assert.equal(readWebUrl('http://proxy.example/mirrors'), 'http://proxy.example/mirrors/')
})

test('what could be something else is none', () => {
  for (const text of [
    '',
    'lab-a.example',
    'ftp://lab-a.example/',
    'javascript:alert(1)',
    'http://user:secret@lab-a.example/',
    'http://lab-a.example/?x=1',
    'http://lab-a.example/#x',
    'http://lab-a.example/?',
    'http://lab-a.example/#',
    'http://lab-a.example/nearest/',
    `http://lab-a.example/${'x'.repeat(300)}`,
  ]) {
    assert.equal(readWebUrl(text), undefined, text)
  }
})

test('whatever comes in, what comes out is one word of ASCII that reads as itself', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.webUrl()),
      fc.string({ unit: 'binary' }),
      (text, more) => {
        for (const each of [text, text + more, `http://a/${more}`]) {
          const url = readWebUrl(each)
          if (url === undefined) continue
          assert.match(url, /^https?:\/\/[^\s<>"]+\/$/)
          assert.doesNotMatch(url, /[^!-~]/)
          assert.equal(readWebUrl(url), url)
        }
      },
    ),
  )
})
