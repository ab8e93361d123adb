/** The console as it is sent: small, whole, and from nowhere else. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { loadConsoleAssets } from '../../node/console-assets.ts'

const MAX_BYTES = 150_000

test('all of the console is under 150 KB as it travels', (t) => {
  const { files } = loadConsoleAssets()
  let bytes = 0
  for (const { compressed } of files.values()) bytes += compressed.length
  t.diagnostic(`${files.size} files, ${bytes} bytes`)
  assert.ok(files.size > 10)
  assert.ok(bytes < MAX_BYTES, `${bytes} bytes`)
})

test('what the page names is there, under names that change with any byte', () => {
  const { files } = loadConsoleAssets()
  const page = files.get('')!.body.toString()
  const named = [...page.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, path = '']) => path)
  assert.ok(named.length > 10)
  for (const path of named) {
    assert.match(path, /^\/console\/[\w-]{12}\//)
    const file = files.get(path.slice('/console/'.length))
    assert.ok(file, path)
    assert.match(file.cacheControl, /immutable/)
  }
  assert.equal(files.get('')!.cacheControl, 'no-cache')
  // Preloaded is all that there is: nothing waits for another module to be read first.
  assert.equal(new Set(named).size, files.size - 1)
})

test('the page may run its own modules and its import map, and reach nobody but its node', () => {
  const { files, contentSecurityPolicy } = loadConsoleAssets()
  const page = files.get('')!.body.toString()
  const inline = [...page.matchAll(/<script(?![^>]* src=)[^>]*>([^<]*)<\/script>/g)]
  assert.equal(inline.length, 1)
  const hash = createHash('sha256').update(inline[0]![1]!).digest('base64')
  assert.ok(contentSecurityPolicy.includes(`script-src 'self' 'sha256-${hash}'`))
  assert.match(contentSecurityPolicy, /default-src 'none'.*connect-src 'self'/)
  assert.doesNotMatch(contentSecurityPolicy, /unsafe|https?:|\*/)
  for (const [path, { body, type }] of files) {
    const outside = [...body.toString().matchAll(/\b(?:https?:)?\/\/[a-z0-9-]+\.[a-z]{2,}/gi)]
      .map(([url]) => url)
      .filter((url) => !/w3\.org$/.test(url))
    assert.deepEqual(outside, [], path)
    assert.ok(type !== '')
  }
})

test('no module makes markup of text', () => {
  for (const [path, { body }] of loadConsoleAssets().files) {
    if (!path.includes('/node/console/')) continue
    assert.doesNotMatch(
      body.toString(),
      /innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function/,
      path,
    )
  }
})
