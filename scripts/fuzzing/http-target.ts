/** What clients of the gateway send: addresses, ranges, conditions. Taken or refused; never a name that leads out. */
import assert from 'node:assert/strict'
import { parseRange } from '../../node/gateway/byte-range.ts'
import { chooseCoding } from '../../node/gateway/content-coding.ts'
import { checkConditions } from '../../node/gateway/precondition.ts'
import { encodeSegments, parseQueryPath, parseTarget } from '../../node/gateway/request-target.ts'
import { readWebUrl } from '../../src/base/web-url.ts'
import { mutateBytes, type Random } from './mutate.ts'
import { attempt, TEXT_REFUSALS, type Trial } from './target.ts'

const TARGETS = [
  '/builds/nightly/@latest/x86_64/os/Packages/a%20b-1.rpm?format=json&sort=size',
  '/builds/%C3%A9/../..%2f..%2fetc/passwd',
  'http://host:8080/builds/nightly/',
  '/%00/%2e%2e/%2E/x//y/',
  '/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy?format=car&dag-scope=entity',
]
const RANGES = [
  'bytes=0-99',
  'bytes=-5',
  'bytes=5-',
  'bytes=0-0,2-3, 7-',
  'bytes=18446744073709551616-',
  'bytes=1-0',
]
const QUERIES = [
  'tree=builds/nightly&path=repodata/repomd.xml',
  'path=a%2Fb%20c+d/',
  'path=%2e%2e/x&path=y',
  'path=',
]
const CODINGS = ['gzip, deflate, br, zstd', 'zstd;q=0.5, gzip;q=0.8, identity;q=0', '*;q=0, gzip', 'x-gzip']
const URLS = [
  'http://lab-a.example:8080/',
  'https://[2001:db8::1]/mirrors/',
  'http://user:x@a/?q#f',
  'http://a/nearest/',
]
const DATES = ['Thu, 27 Nov 2025 10:00:00 GMT', '"etag", W/"weak"', '*', '"unterminated']

export function tryHttp(random: Random): Trial {
  return random.pick([tryTarget, tryQueryPath, tryRange, tryConditions, tryCoding, tryWebUrl])(random)
}

function changed(random: Random, seeds: readonly string[]): string {
  let bytes = Uint8Array.from(Buffer.from(random.pick(seeds)))
  for (let left = 1 + random.int(3); left > 0; left--) bytes = Uint8Array.from(mutateBytes(random, bytes))
  return Buffer.from(bytes).toString('latin1')
}

function tryTarget(random: Random): Trial {
  const text = changed(random, TARGETS)
  const target = attempt(() => parseTarget(text), TEXT_REFUSALS)
  for (const segment of target?.segments ?? []) {
    const name = Buffer.from(segment.name)
    assert.ok(!name.includes(0) && !name.includes(0x2f))
    assert.ok(!['.', '..'].includes(name.toString('latin1')))
  }
  if (target !== undefined) {
    const again = parseTarget(`/${encodeSegments(target.segments)}`)
    assert.deepEqual(
      again.segments.map(({ name }) => [...name]),
      target.segments.map(({ name }) => [...name]),
    )
  }
  return { taken: target !== undefined, input: Buffer.from(text, 'latin1') }
}

function tryQueryPath(random: Random): Trial {
  const text = changed(random, QUERIES)
  const path = attempt(() => parseQueryPath(text, 'path'), TEXT_REFUSALS)
  for (const { name } of path?.segments ?? []) {
    const shown = Buffer.from(name).toString('latin1')
    assert.ok(shown !== '' && shown !== '.' && shown !== '..' && !/[/\0]/.test(shown))
  }
  return { taken: (path?.segments.length ?? 0) > 0, input: Buffer.from(text, 'latin1') }
}

function tryCoding(random: Random): Trial {
  const text = changed(random, CODINGS)
  const coding = chooseCoding(text)
  assert.ok(['zstd', 'gzip', 'identity'].includes(coding))
  return { taken: coding !== 'identity', input: Buffer.from(text, 'latin1') }
}

/** What a member says is its gateway goes into lists, XML and headers. */
function tryWebUrl(random: Random): Trial {
  const text = changed(random, URLS)
  const url = readWebUrl(text)
  if (url !== undefined) {
    assert.match(url, /^https?:\/\/[^\s<>"]+\/$/)
    assert.equal(readWebUrl(url), url)
  }
  return { taken: url !== undefined, input: Buffer.from(text, 'latin1') }
}

function tryRange(random: Random): Trial {
  const text = changed(random, RANGES)
  const sizeBytes = random.pick([0, 1, 10, 100, 2 ** 40])
  const answer = parseRange(text, sizeBytes)
  const ranges = answer.kind === 'ranges' ? answer.ranges : []
  for (const { startByte, endByte } of ranges)
    assert.ok(startByte >= 0 && startByte < endByte && endByte <= sizeBytes, `${text} of ${sizeBytes}`)
  return { taken: ranges.length > 0, input: Buffer.from(text, 'latin1') }
}

function tryConditions(random: Random): Trial {
  const text = changed(random, DATES)
  const header = random.pick(['if-none-match', 'if-match', 'if-modified-since', 'if-unmodified-since'])
  const result = checkConditions(
    { [header]: text },
    { etag: '"etag"', modifiedSec: 1_764_237_600, isImmutable: random.int(2) === 0 },
  )
  return { taken: result === 'proceed', input: Buffer.from(text, 'latin1') }
}
