import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import net from 'node:net'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import type { Gateway } from '../../node/gateway/gateway.ts'
import { httpDate } from '../../node/gateway/precondition.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { type Answer, type AskOptions, askGateway } from './gateway-client.ts'
import { chunkAt, createTestMesh, MTIME_SEC } from './gateway-mesh.ts'

const big = Uint8Array.from({ length: 25_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff)
const mesh = await createTestMesh()
let gateway: Gateway

before(async () => {
  await mesh.publish('builds/rhel', [
    ['a.txt', utf8('version one')],
    [
      'sub',
      [
        ['big.bin', big],
        ['up', { to: '../a.txt' }],
      ],
    ],
  ])
  await mesh.publish('builds/rhel', [
    ['@scope', [['x', utf8('scoped')]]],
    ['a.txt', utf8('version two')],
    ['empty', new Uint8Array(0)],
    ['evil<b>"\r\nx-injected: 1', utf8('named')],
    ['link', { to: 'sub/up' }],
    ['dirlink', { to: './sub/' }],
    ['absolute', { to: '/etc/passwd' }],
    ['escape', { to: 'sub/../../x' }],
    ['loop', { to: 'loop' }],
    ['dangling', { to: 'nowhere' }],
    ['pipe', { special: 'fifo' }],
    [
      'sub',
      [
        ['big.bin', big],
        ['up', { to: '../a.txt' }],
      ],
    ],
    [Uint8Array.of(0xff, 0xfe, 0x20), utf8('raw bytes')],
  ])
  await mesh.publish('builds/rhel', [['a.txt', utf8('version three')]], { isComplete: false })
  gateway = await mesh.start()
})
after(() => gateway.stop(0))

const ask = (
  path: string,
  { at = gateway, ...options }: AskOptions & { at?: Gateway } = {},
): Promise<Answer> => askGateway(at, path, options)

test('the newest complete snapshot is served, and headers say which', async () => {
  const answer = await ask('/builds/rhel/a.txt')
  assert.equal(answer.status, 200)
  assert.equal(answer.body.toString(), 'version two')
  assert.equal(answer.headers['x-mirrormesh-sequence'], '2')
  assert.equal(answer.headers['x-mirrormesh-behind'], '1')
  assert.equal(answer.headers['cache-control'], 'public, no-cache')
  assert.equal(answer.headers['content-length'], '11')
  assert.equal(answer.headers['content-type'], 'text/plain; charset=utf-8')
  assert.equal(answer.headers['last-modified'], httpDate(MTIME_SEC))
  assert.equal(answer.headers['x-content-type-options'], 'nosniff')
})

test('a sequence is served for ever, one that is not complete here not at all', async () => {
  const old = await ask('/builds/rhel/@1/a.txt')
  assert.equal(old.body.toString(), 'version one')
  assert.match(String(old.headers['cache-control']), /immutable/)
  const newer = await ask('/builds/rhel/@3/a.txt')
  assert.equal(newer.status, 503)
  assert.ok(Number(newer.headers['retry-after']) > 0)
  assert.equal(newer.headers['content-type'], 'application/problem+json')
  assert.doesNotMatch(newer.body.toString(), /version three/)
  assert.equal((await ask('/builds/rhel/@head/a.txt')).status, 503)
})

test('the tag latest moves what is served, and a tag has an address', async () => {
  const own = await createTestMesh()
  const first = await own.publish('t', [['f', utf8('1')]])
  await own.publish('t', [['f', utf8('2')]])
  own.tag('t', 'latest', first)
  own.tag('t', 'ga', first)
  const at = await own.start()
  try {
    assert.equal((await ask('/t/f', { at })).body.toString(), '1')
    assert.equal((await ask('/t/@ga/f', { at })).body.toString(), '1')
    assert.equal((await ask('/t/@head/f', { at })).body.toString(), '2')
  } finally {
    await at.stop(0)
  }
})

test('a folder named like a scope is not taken for a version', async () => {
  assert.equal((await ask('/builds/rhel/@scope/x')).body.toString(), 'scoped')
  assert.equal((await ask('/builds/rhel/%40scope/x')).body.toString(), 'scoped')
  assert.equal((await ask('/builds/rhel/@2/@scope/x')).body.toString(), 'scoped')
})

test('HEAD has the headers of GET and no body', async () => {
  const [get, head] = [
    await ask('/builds/rhel/sub/big.bin'),
    await ask('/builds/rhel/sub/big.bin', { method: 'HEAD' }),
  ]
  assert.equal(head.body.length, 0)
  assert.equal(head.status, 200)
  for (const name of ['etag', 'content-length', 'content-type', 'last-modified', 'accept-ranges']) {
    assert.equal(head.headers[name], get.headers[name], name)
  }
  assert.deepEqual(new Uint8Array(get.body), big)
})

test('one range, a suffix, an open end, and a range past the end', async () => {
  const path = '/builds/rhel/sub/big.bin'
  const part = await ask(path, { headers: { range: 'bytes=990-2010' } })
  assert.equal(part.status, 206)
  assert.equal(part.headers['content-range'], 'bytes 990-2010/25000')
  assert.deepEqual(new Uint8Array(part.body), big.slice(990, 2011))
  assert.deepEqual(new Uint8Array((await ask(path, { headers: { range: 'bytes=-5' } })).body), big.slice(-5))
  assert.deepEqual(
    new Uint8Array((await ask(path, { headers: { range: 'bytes=24990-' } })).body),
    big.slice(24_990),
  )
  const past = await ask(path, { headers: { range: 'bytes=25000-' } })
  assert.equal(past.status, 416)
  assert.equal(past.headers['content-range'], 'bytes */25000')
  const ignored = await ask(path, { headers: { range: 'lines=1-2' } })
  assert.equal(ignored.status, 200)
  assert.equal((await ask(path, { method: 'HEAD', headers: { range: 'bytes=0-1' } })).status, 200)
})

test('several ranges come as multipart with the length that was announced', async () => {
  const answer = await ask('/builds/rhel/sub/big.bin', { headers: { range: 'bytes=0-4,10000-10003,-3' } })
  assert.equal(answer.status, 206)
  assert.equal(Number(answer.headers['content-length']), answer.body.length)
  const boundary = /^multipart\/byteranges; boundary=(.+)$/.exec(String(answer.headers['content-type']))?.[1]
  assert.ok(boundary !== undefined)
  const parts = answer.body.toString('latin1').split(`\r\n--${boundary}`).slice(1, -1)
  assert.deepEqual(
    parts.map((part) => {
      const split = part.indexOf('\r\n\r\n')
      return [
        /Content-Range: (.*)\r?/.exec(part.slice(0, split))?.[1]?.trim(),
        Buffer.from(part.slice(split + 4), 'latin1'),
      ]
    }),
    [
      ['bytes 0-4/25000', Buffer.from(big.slice(0, 5))],
      ['bytes 10000-10003/25000', Buffer.from(big.slice(10_000, 10_004))],
      ['bytes 24997-24999/25000', Buffer.from(big.slice(-3))],
    ],
  )
  const overlapping = `bytes=${Array.from({ length: 30 }, () => '0-').join(',')}`
  const joined = await ask('/builds/rhel/sub/big.bin', { headers: { range: overlapping } })
  assert.equal(joined.body.length, big.length)
})

test('the tag is the CID: not modified, and a range only of the same bytes', async () => {
  const path = '/builds/rhel/a.txt'
  const first = await ask(path)
  const etag = String(first.headers.etag)
  const again = await ask(path, { headers: { 'if-none-match': etag } })
  assert.equal(again.status, 304)
  assert.equal(again.body.length, 0)
  assert.equal(again.headers.etag, etag)
  assert.equal((await ask(path, { headers: { 'if-none-match': '"other"' } })).status, 200)
  assert.equal((await ask(path, { headers: { 'if-match': '"other"' } })).status, 412)
  assert.equal((await ask(path, { headers: { range: 'bytes=0-0', 'if-range': etag } })).status, 206)
  assert.equal((await ask(path, { headers: { range: 'bytes=0-0', 'if-range': '"other"' } })).status, 200)
  assert.equal(
    (await ask(path, { headers: { 'if-modified-since': String(first.headers['last-modified']) } })).status,
    304,
  )
  const old = await ask('/builds/rhel/@1/a.txt', { headers: { 'if-none-match': etag } })
  assert.equal(old.body.toString(), 'version one')
})

test('an empty file has a length of 0, a tag, and no satisfiable range', async () => {
  const answer = await ask('/builds/rhel/empty')
  assert.equal(answer.headers['content-length'], '0')
  assert.match(String(answer.headers.etag), /^"b[a-z2-7]+"$/)
  assert.equal((await ask('/builds/rhel/empty', { headers: { range: 'bytes=0-0' } })).status, 416)
})

test('links inside the tree are followed; those that leave it, loop or dangle are not', async () => {
  assert.equal((await ask('/builds/rhel/link')).body.toString(), 'version two')
  assert.deepEqual(new Uint8Array((await ask('/builds/rhel/dirlink/big.bin')).body), big)
  assert.equal((await ask('/builds/rhel/sub/up')).body.toString(), 'version two')
  for (const name of ['absolute', 'escape']) {
    const answer = await ask(`/builds/rhel/${name}`)
    assert.equal(answer.status, 403, name)
    assert.doesNotMatch(answer.body.toString(), /passwd|root:/)
  }
  assert.equal((await ask('/builds/rhel/loop')).status, 404)
  assert.equal((await ask('/builds/rhel/dangling')).status, 404)
})

test('names are raw bytes in both directions', async () => {
  assert.equal((await ask('/builds/rhel/%ff%fe%20')).body.toString(), 'raw bytes')
  const name = encodeURIComponent('evil<b>"\r\nx-injected: 1')
  const answer = await ask(`/builds/rhel/${name}`)
  assert.equal(answer.body.toString(), 'named')
  assert.equal(answer.headers['x-injected'], undefined)
})

test('a special file has no content to serve, and the refusal says so', async () => {
  const answer = await ask('/builds/rhel/pipe')
  assert.equal(answer.status, 403)
  assert.match(answer.body.toString(), /a fifo has no content to serve/)
})

test('every name in a listing leads to what it names', async () => {
  const listing = JSON.parse((await ask('/builds/rhel/?format=json')).body.toString())
  assert.equal(listing.tree, 'builds/rhel')
  assert.equal(listing.sequence, 2)
  const expected = new Map([
    ['absolute', 403],
    ['pipe', 403],
    ['escape', 403],
    ['loop', 404],
    ['dangling', 404],
    ['dirlink', 302],
  ])
  for (const entry of listing.entries) {
    assert.equal(
      (await ask(`/builds/rhel/${entry.href}`)).status,
      expected.get(entry.name) ?? 200,
      entry.name,
    )
  }
  const page = await ask('/builds/rhel/')
  assert.match(String(page.headers['content-type']), /^text\/html/)
  assert.match(String(page.headers['content-security-policy']), /default-src 'none'/)
  assert.doesNotMatch(page.body.toString(), /evil<b>/)
  assert.equal(
    (await ask('/builds/rhel/', { headers: { 'if-none-match': String(page.headers.etag) } })).status,
    304,
  )
  assert.equal((await ask('/builds/rhel/', { method: 'HEAD' })).body.length, 0)
})

test('a folder without its slash is sent there, never elsewhere', async () => {
  const answer = await ask('/builds/rhel/sub?x=1')
  assert.equal(answer.status, 302)
  assert.equal(answer.headers.location, '/builds/rhel/sub/?x=1')
  assert.equal((await ask('//builds//rhel/@2/sub')).headers.location, '/builds/rhel/@2/sub/')
  assert.equal((await ask('/builds')).headers.location, '/builds/')
  assert.equal((await ask('/builds/rhel/a.txt/')).status, 404)
})

test('above the trees there are the folders of their names', async () => {
  const top = JSON.parse((await ask('/', { headers: { accept: 'application/json' } })).body.toString())
  assert.deepEqual(top.entries, [{ name: 'builds', type: 'folder', href: 'builds/' }])
  const builds = JSON.parse((await ask('/builds/?format=json')).body.toString())
  assert.deepEqual(builds.entries, [{ name: 'rhel', type: 'folder', href: 'rhel/' }])
  assert.equal((await ask('/nothing/')).status, 404)
})

test('bad addresses and methods are refused in words', async () => {
  for (const [path, status] of [
    ['/builds/rhel/../../etc/passwd', 400],
    ['/builds/rhel/%2e%2e/%2e%2e/etc/passwd', 400],
    ['/builds/rhel/sub%2fbig.bin', 400],
    ['/builds/rhel/a%00.txt', 400],
    ['/builds/rhel/%zz', 400],
    [`/${'a'.repeat(9000)}`, 414],
    ['/builds/rhel/nothing', 404],
    ['/builds/rhel/a.txt/b', 404],
  ] as const) {
    const answer = await ask(path)
    assert.equal(answer.status, status, path.slice(0, 60))
    const problem = JSON.parse(answer.body.toString())
    assert.equal(problem.status, status)
    assert.ok(problem.detail.length > 10)
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'TRACE']) {
    const answer = await ask('/builds/rhel/a.txt', { method })
    assert.equal(answer.status, 405, method)
    assert.equal(answer.headers.allow, 'GET, HEAD, OPTIONS')
  }
  assert.equal((await ask('/builds/rhel/a.txt', { method: 'OPTIONS' })).status, 204)
})

test('the absolute form works, and headers without end do not', async () => {
  assert.equal((await ask('http://elsewhere.example/builds/rhel/a.txt')).body.toString(), 'version two')
  const answer = await ask('/builds/rhel/a.txt', { headers: { cookie: 'x'.repeat(20_000) } })
  assert.equal(answer.status, 431)
})

test('a missing block is an error before the first byte, and a cut connection after it', async () => {
  const own = await createTestMesh()
  // More than is read before the answer begins.
  const other = Uint8Array.from({ length: 40_000 }, (_, i) => (i * 11 + (i >> 8)) & 0xff)
  await own.publish('t', [
    ['f', big],
    ['g', other],
  ])
  own.remove(chunkAt(big, 0))
  own.remove(chunkAt(other, 39_999))
  const at = await own.start()
  try {
    const answer = await ask('/t/f', { at })
    assert.equal(answer.status, 503)
    assert.equal(answer.headers['retry-after'], '5')
    assert.equal(answer.headers.etag, undefined)
    assert.doesNotMatch(answer.body.toString(), /chunk/)
    assert.ok(own.events.some(({ event }) => event === 'gateway.failed'))
    await assert.rejects(ask('/t/g', { at }), /aborted|hang up|ECONNRESET/)
    assert.equal((await ask('/t/g', { at, headers: { range: 'bytes=0-99' } })).status, 206)
  } finally {
    await at.stop(0)
  }
})

test('over the bound of bodies there is a 503 with Retry-After, and liveness still answers', async () => {
  const at = await mesh.start({ maxBodies: 0 })
  try {
    const answer = await ask('/builds/rhel/a.txt', { at })
    assert.equal(answer.status, 503)
    assert.equal(answer.headers['retry-after'], '2')
    assert.equal((await ask('/livez', { at })).status, 200)
  } finally {
    await at.stop(0)
  }
})

test('livez, readyz and metrics', async () => {
  assert.equal((await ask('/livez')).body.toString(), 'alive\n')
  assert.equal((await ask('/readyz')).status, 200)
  const metrics = (await ask('/metrics')).body.toString()
  assert.match(metrics, /mirrormesh_gateway_requests_total\{method="GET",status="200"\} \d+/)
  assert.match(metrics, /mirrormesh_sites\{state="self"\} 1/)
  assert.match(metrics, /mirrormesh_traffic_bytes\{class="wan",direction="received"\} 9/)
  assert.match(metrics, /mirrormesh_delta_bytes\{what="fetched"\} 12\n.*\{what="made"\} 345/)
  const at = await mesh.start({}, { notReady: () => 'the store is being recovered' })
  try {
    const answer = await ask('/readyz', { at })
    assert.equal(answer.status, 503)
    assert.equal(answer.body.toString(), 'the store is being recovered\n')
  } finally {
    await at.stop(0)
  }
})

test('garbage on the socket is answered and closed', async () => {
  const [host, port] = gateway.address().split(':')
  const text = await new Promise<string>((resolve, reject) => {
    let received = ''
    const socket = net.connect(Number(port), host, () => socket.write('\x16\x03\x01 not http\r\n\r\n'))
    socket.on('data', (bytes) => {
      received += bytes.toString()
    })
    socket.on('close', () => resolve(received))
    socket.on('error', reject)
  })
  assert.match(text, /^HTTP\/1.1 400 /)
})

test('a used port is an error that says what to do', async () => {
  await assert.rejects(mesh.start({ listen: gateway.address() }), /listen for HTTP on 127\.0\.0\.1/)
})

test('curl resumes and follows, unmodified', async () => {
  const base = `http://${gateway.address()}/builds/rhel`
  const run = promisify(execFile)
  const { stdout } = await run('curl', ['-sfL', '-r', '10-', `${base}/sub/big.bin`], { encoding: 'buffer' })
  assert.deepEqual(new Uint8Array(stdout), big.slice(10))
  const listing = await run('curl', ['-sfL', `${base}/sub?format=json`])
  assert.equal(JSON.parse(listing.stdout).entries.length, 2)
  await assert.rejects(run('curl', ['-sf', `${base}/nothing`]))
})
