import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contentTypeOf } from '../../node/gateway/content-type.ts'
import { chooseFormat, listingHtml, listingJson } from '../../node/gateway/listing.ts'
import type { ListingRow } from '../../node/gateway/listing-row.ts'
import { utf8 } from '../../src/base/bytes.ts'
import type { Entry } from '../../src/dag/entry.ts'

const metadata = { mode: 0o644, mtimeSec: 1_700_000_000, mtimeNsec: 123_456_789, uid: 0, gid: 0 }
const file = (name: Uint8Array | string): Entry => ({
  type: 'file',
  name: typeof name === 'string' ? utf8(name) : name,
  sizeBytes: 0,
  ...metadata,
})

async function joined(pieces: AsyncIterable<string>): Promise<string> {
  let text = ''
  for await (const piece of pieces) text += piece
  return text
}

const html = (rows: ListingRow[], path = '/t/'): Promise<string> =>
  joined(listingHtml({ tree: 't', sequence: 1, path }, rows))

test('no name can become markup, a scheme or another address', async () => {
  const text = await html([
    file('<script>alert(1)</script>'),
    file('javascript:alert(1)'),
    file('"onmouseover="x'),
    file('//evil.example'.replaceAll('/', '\\')),
    file('a&amp;b'),
    { type: 'symlink', name: utf8('l'), target: utf8('<img src=x>'), ...metadata },
  ])
  assert.doesNotMatch(text, /<script>|<img|href="javascript:|"onmouseover/)
  assert.match(text, /href="javascript%3Aalert%281%29"/)
  assert.match(text, /a&#38;amp;b/)
})

test('special files are named with their type, and lead nowhere', async () => {
  const rows: ListingRow[] = [
    { type: 'fifo', name: utf8('pipe'), ...metadata },
    { type: 'block-device', name: utf8('disk'), major: 8, minor: 1, ...metadata },
  ]
  const text = await html(rows)
  assert.match(text, /<td>pipe \(fifo\)<\/td>/)
  assert.doesNotMatch(text, /href="(pipe|disk)"/)
  const { entries } = JSON.parse(await joined(listingJson({ path: '/t/' }, rows)))
  assert.deepEqual(
    entries.map(({ type, device, sizeBytes }: Record<string, unknown>) => [type, device, sizeBytes]),
    [
      ['fifo', undefined, undefined],
      ['block-device', '8:1', undefined],
    ],
  )
})

test('control characters and bidirectional overrides are shown, never sent', async () => {
  const text = await html([file('a\nb\u001b[31m'), file('x\u202egnp.exe')])
  assert.doesNotMatch(text, /\u001b|\u202e/)
  assert.match(text, /a\\x0ab\\x1b/)
})

test('JSON has exact times, and the bytes of a name that is not plain text', async () => {
  const text = await joined(
    listingJson({ tree: 't', sequence: 3, path: '/t/' }, [file('a'), file(Uint8Array.of(0xff, 0x41))]),
  )
  const parsed = JSON.parse(text)
  assert.equal(parsed.sequence, 3)
  assert.deepEqual(parsed.entries[0], {
    name: 'a',
    type: 'file',
    href: 'a',
    mode: '0644',
    modified: '2023-11-14T22:13:20.123456789Z',
    sizeBytes: 0,
  })
  assert.equal(parsed.entries[1].name, '\\xffA')
  assert.equal(parsed.entries[1].nameBytes, Buffer.from([0xff, 0x41]).toString('base64'))
  assert.equal(parsed.entries[1].href, '%FFA')
})

test('an empty folder is valid in both forms, and only the top has no parent', async () => {
  assert.deepEqual(JSON.parse(await joined(listingJson({ path: '/' }, []))), { path: '/', entries: [] })
  assert.match(await html([], '/t/'), /href="\.\.\/"/)
  assert.doesNotMatch(await html([], '/'), /href="\.\.\/"/)
})

test('the query decides the form, then Accept', () => {
  const query = (text: string): URLSearchParams => new URLSearchParams(text)
  assert.equal(chooseFormat(query('format=json'), 'text/html'), 'json')
  assert.equal(chooseFormat(query(''), 'application/json'), 'json')
  assert.equal(chooseFormat(query(''), 'text/html,application/json;q=0.9'), 'html')
  assert.throws(() => chooseFormat(query('format=xml'), undefined), { code: 'invalid', message: /as "xml"/ })
})

test('the type of a file comes from its name only', () => {
  assert.equal(contentTypeOf(utf8('a.RPM')), 'application/x-rpm')
  assert.equal(contentTypeOf(utf8('Release')), 'text/plain; charset=utf-8')
  for (const name of ['constructor', 'a.constructor', '.txt', 'a.__proto__', '', 'a.']) {
    assert.equal(contentTypeOf(utf8(name)), 'application/octet-stream', name)
  }
})
