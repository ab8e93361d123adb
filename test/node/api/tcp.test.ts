/** The API over TCP, of a real daemon: who comes in, how, and who does not. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFile, chmod, writeFile } from 'node:fs/promises'
import { type IncomingHttpHeaders, request } from 'node:http'
import { request as secureRequest } from 'node:https'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { SelfDocument } from '../../../node/api/answers.ts'
import type { Token } from '../../../node/tokens.ts'
import { encodeCbor } from '../../../src/block/codec.ts'
import { skipWithout } from '../../needs.ts'
import { type Daemon, mirrormesh, startDaemon, succeed, succeedJson } from '../program.ts'
import { tempDir } from '../temp-dir.ts'

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly json: { code?: string; scope?: string; detail?: string }
  readonly text: string
}

interface Asked {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly ca?: Buffer
  /** Of the address that it comes from. */
  readonly localAddress?: string
}

function ask(
  url: string,
  { method = 'GET', headers = {}, body, ca, localAddress }: Asked = {},
): Promise<Answer> {
  const payload = body === undefined ? undefined : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const outgoing = (url.startsWith('https') ? secureRequest : request)(
      url,
      {
        method,
        agent: false,
        ca,
        localAddress,
        // It is the answer to another Host that is asked for.
        ...(headers.host === undefined ? {} : { checkServerIdentity: () => undefined }),
        headers: { ...(payload === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      },
      (incoming) => {
        let text = ''
        incoming.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
        incoming.on('end', () => {
          const isJson = /json/.test(incoming.headers['content-type'] ?? '')
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            json: isJson ? JSON.parse(text) : {},
            text,
          })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(payload)
  })
}

async function startNode(
  t: TestContext,
  config: string,
): Promise<{ home: string; dir: string; daemon: Daemon; url: string }> {
  const dir = await tempDir(t)
  const home = join(dir, 'hq')
  await succeed([
    ...['init', '--home', home, '--mesh', 'm', '--site', 'hq', '--region', 'r'],
    ...['--listen', '127.0.0.1:0', '--http', 'off'],
  ])
  await appendFile(join(home, 'config.yaml'), config)
  const daemon = await startDaemon(t, home)
  const self = await daemon.get<SelfDocument>('/api/v1/self')
  return { home, dir, daemon, url: self.api! }
}

test('the API over TCP lets in who has a token of the right scope, and nobody else', {
  timeout: 300_000,
}, async (t) => {
  const hooks = 'hooks: [{ on: [failed], url: "http://127.0.0.1:9/key-in-the-address" }]'
  const config = `apiListen: 127.0.0.1:0\napiHosts: [mesh.example]\n${hooks}\n`
  const { home, dir, daemon, url } = await startNode(t, config)
  const makeToken = async (...more: string[]): Promise<string> =>
    (await succeed(['token', 'create', '--home', home, ...more])).trim()
  const tokens = {
    read: await makeToken('--name', 'a reader', '--scope', 'read'),
    operate: await makeToken('--name', 'an operator', '--scope', 'operate'),
    admin: await makeToken('--name', 'an admin', '--scope', 'admin', '--expires', 'never'),
    gateway: await makeToken('--name', 'a lab', '--tree', 'secret/**'),
  }
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  const status = `${url}/api/v1/status`

  await t.test('without a token, with a wrong one and with one for the gateway', async () => {
    const none = await ask(status)
    assert.equal(none.status, 401)
    assert.match(none.headers['www-authenticate'] ?? '', /^Bearer/)
    assert.match(none.headers['content-type'] ?? '', /^application\/problem\+json/)
    const wrong = `${tokens.admin.slice(0, -2)}${tokens.admin.at(-2) === 'x' ? 'y' : 'x'}${tokens.admin.at(-1)}`
    for (const token of [wrong, tokens.gateway, 'x', '']) {
      assert.equal((await ask(status, { headers: bearer(token) })).status, 401)
    }
    assert.equal((await ask(`${url}/api/v1/nothing`)).status, 401)
  })

  await t.test('where webhooks lead is for admins: the address is the key to it', async () => {
    const hooksFor = async (token: string): Promise<string> =>
      (await fetch(`${url}/api/v1/config`, { headers: bearer(token) })).text()
    assert.match(await hooksFor(tokens.admin), /key-in-the-address/)
    const shown = await hooksFor(tokens.operate)
    assert.doesNotMatch(shown, /key-in-the-address/)
    assert.match(shown, /http:\/\/127\.0\.0\.1:9\/…/)
  })

  await t.test("the node's key writes no files for who may only steer", async () => {
    const lend = (pin: object, token: string) =>
      ask(`${url}/api/v1/operator/records`, {
        method: 'POST',
        headers: bearer(token),
        body: { kind: 'pin', body: Buffer.from(encodeCbor(pin)).toString('base64') },
      })
    const pin = { name: 'x@all', tree: 'x', sites: { all: true }, version: 1, removed: false }
    const planted = await lend({ ...pin, checkout: '/etc/cron.d/planted' }, tokens.operate)
    assert.equal(planted.status, 403)
    assert.match(planted.json.detail ?? '', /needs a token of the scope admin/)
    // As far as the mesh: no grant lets this node say it.
    for (const [body, token] of [
      [pin, tokens.operate],
      [{ ...pin, checkout: '/srv/x' }, tokens.admin],
    ] as const)
      assert.doesNotMatch((await lend(body, token)).json.detail ?? '', /scope/)
  })

  await t.test('each scope does its own and no more', async () => {
    const cases: readonly (readonly [keyof typeof tokens, string, string, unknown, number])[] = [
      ['read', 'GET', '/api/v1/status', undefined, 200],
      ['read', 'GET', '/api/v1/tokens', undefined, 403],
      ['read', 'POST', '/api/v1/jobs', { kind: 'scrub' }, 403],
      ['read', 'POST', '/api/v1/records', { record: 'AAAA' }, 403],
      ['operate', 'POST', '/api/v1/jobs', { kind: 'collect', dryRun: true }, 202],
      ['read', 'GET', '/api/v1/jobs', undefined, 403],
      ['read', 'GET', '/api/v1/jobs/x', undefined, 403],
      ['read', 'GET', '/api/v1/jobs/x/events', undefined, 403],
      ['operate', 'GET', '/api/v1/jobs', undefined, 200],
      ['operate', 'GET', '/api/v1/jobs/x', undefined, 404],
      ['operate', 'POST', '/api/v1/jobs', { kind: 'publish', path: dir, tree: 'x' }, 403],
      ['operate', 'POST', '/api/v1/jobs', { kind: 'verify', tree: 'x', checkout: '/etc' }, 403],
      ['operate', 'GET', '/api/v1/trees/x/diff?dir=/etc', undefined, 403],
      ['operate', 'POST', '/api/v1/tokens', { kind: 'api', name: 'more', scope: 'admin' }, 403],
      ['admin', 'GET', '/api/v1/tokens', undefined, 200],
      ['admin', 'POST', '/api/v1/records', { record: 'AAAA' }, 400],
      ['admin', 'GET', '/api/v1/nothing', undefined, 404],
    ]
    for (const [who, method, path, body, expected] of cases) {
      const answer = await ask(`${url}${path}`, { method, headers: bearer(tokens[who]), body })
      assert.equal(answer.status, expected, `${who} ${method} ${path}: ${answer.text}`)
    }
  })

  await t.test('a page of another origin, and a name that was rebound to this address', async () => {
    const { host } = new URL(url)
    const good = bearer(tokens.admin)
    const cases: readonly (readonly [Readonly<Record<string, string>>, number])[] = [
      [{ host: 'evil.example' }, 403],
      [{ host: 'evil.example:80', origin: 'http://evil.example:80' }, 403],
      [{ host: 'a b' }, 403],
      [{ host: 'localhost' }, 200],
      [{ host: 'MESH.example:443', origin: 'https://mesh.example:443' }, 403],
      [{ host: 'mesh.example', origin: 'https://mesh.example' }, 200],
      [{ origin: 'http://evil.example' }, 403],
      [{ origin: 'null' }, 403],
      [{ origin: `http://${host}` }, 200],
      [{ origin: 'http://127.0.0.1:1' }, 403],
      [{ 'sec-fetch-site': 'cross-site' }, 403],
      [{ 'sec-fetch-site': 'same-site' }, 403],
      [{ 'sec-fetch-site': 'same-origin' }, 200],
    ]
    for (const [headers, expected] of cases) {
      const answer = await ask(status, { headers: { ...good, ...headers } })
      assert.equal(answer.status, expected, `${JSON.stringify(headers)}: ${answer.text}`)
    }
  })

  await t.test('a browser logs in, and its cookie changes nothing for other pages', async () => {
    const { host, origin } = new URL(url)
    const login = await ask(`${url}/console/login`, { method: 'POST', body: { token: tokens.operate } })
    assert.deepEqual([login.status, login.json.scope], [200, 'operate'])
    const [set = ''] = login.headers['set-cookie'] ?? []
    assert.match(set, /; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/)
    const cookie = set.split(';')[0]!
    assert.ok(!cookie.includes(tokens.operate.slice(17)))
    assert.equal((await ask(status, { headers: { cookie } })).status, 200)
    const session = await ask(`${url}/api/v1/session`, { headers: { cookie } })
    assert.equal(session.json.scope, 'operate')
    const job = (headers: Record<string, string>) =>
      ask(`${url}/api/v1/jobs`, {
        method: 'POST',
        headers: { cookie, ...headers },
        body: { kind: 'collect', dryRun: true },
      })
    assert.equal((await job({ origin })).status, 202)
    assert.equal((await job({ 'sec-fetch-site': 'same-origin' })).status, 202)
    assert.equal((await job({})).status, 403)
    assert.equal((await job({ origin: 'http://evil.example' })).status, 403)
    assert.equal((await job({ origin, host: 'evil.example' })).status, 403)
    const form = { 'content-type': 'text/plain', origin: `http://${host}`, cookie }
    assert.equal((await ask(`${url}/api/v1/jobs`, { method: 'POST', headers: form, body: {} })).status, 400)
    assert.equal((await ask(`${url}/console/logout`, { method: 'POST', headers: { cookie } })).status, 204)
    assert.equal((await ask(status, { headers: { cookie } })).status, 401)
  })

  await t.test('the command line works through it as through the socket', async () => {
    const file = join(dir, 'token')
    await writeFile(file, `${tokens.admin}\n`, { mode: 0o600 })
    const flags = ['--api', url, '--token-file', file]
    const { tokens: listed } = await succeedJson<{ tokens: Token[] }>(['token', 'list', ...flags])
    assert.deepEqual(listed.map(({ name }) => name).toSorted(), [
      'a lab',
      'a reader',
      'an admin',
      'an operator',
    ])
    assert.match(await succeed(['status', ...flags]), /hq/)
    const published = await succeedJson<{ sequence: number }>([
      ...['publish', join(home, 'config.yaml'), '--tree', 'x', ...flags, '--home', home],
    ])
    assert.equal(published.sequence, 1)
    assert.match(await succeed(['tree', 'list', ...flags]), /x/)
    const lesser = join(dir, 'lesser')
    await writeFile(lesser, `${tokens.read}\n`, { mode: 0o600 })
    const refused = await mirrormesh(['token', 'list', '--api', url, '--token-file', lesser])
    assert.equal(refused.status, 6, refused.stderr)
    assert.match(refused.stderr, /needs a token of the scope admin/)
    await chmod(lesser, 0o644)
    assert.equal((await mirrormesh(['status', '--api', url, '--token-file', lesser])).status, 6)
    assert.equal((await mirrormesh(['status', '--api', url])).status, 2)
    assert.equal((await mirrormesh(['config', 'path', ...flags])).status, 2)
    assert.equal(
      (await mirrormesh(['status', '--api', 'http://127.0.0.1:1', '--token-file', file])).status,
      7,
    )
  })

  await t.test('a token that was revoked ends its sessions and streams', async () => {
    const login = await ask(`${url}/console/login`, { method: 'POST', body: { token: tokens.operate } })
    const cookie = (login.headers['set-cookie']?.[0] ?? '').split(';')[0]!
    assert.equal((await ask(status, { headers: { cookie } })).status, 200)
    const { closed } = await new Promise<{ closed: Promise<unknown> }>((resolve, reject) => {
      const stream = request(`${url}/api/v1/events`, { headers: { cookie }, agent: false }, (incoming) => {
        assert.match(incoming.headers['content-type'] ?? '', /^text\/event-stream/)
        assert.equal(incoming.headers['cache-control'], 'no-store')
        incoming.on('error', () => undefined).resume()
        resolve({ closed: new Promise((ended) => incoming.once('close', ended)) })
      })
      stream.on('error', reject)
      stream.end()
    })
    await succeed(['token', 'revoke', tokens.operate.slice(4, 16), '--home', home])
    await closed
    assert.equal((await ask(status, { headers: { cookie } })).status, 401)
    assert.equal((await ask(status, { headers: bearer(tokens.operate) })).status, 401)
    assert.equal(
      (await mirrormesh(['token', 'revoke', tokens.operate.slice(4, 16), '--home', home])).status,
      5,
    )
  })

  await t.test(
    'an address that fails too often waits; a right token of it does not, nor do others',
    async () => {
      const wrong = { headers: bearer(`mmt_000000000000_${'A'.repeat(43)}`), localAddress: '127.0.0.9' }
      const statuses: number[] = []
      for (let i = 0; i < 12; i++) statuses.push((await ask(status, wrong)).status)
      assert.deepEqual(statuses.slice(0, 10), Array(10).fill(401))
      assert.deepEqual(statuses.slice(10), [429, 429])
      assert.ok(Number((await ask(status, wrong)).headers['retry-after']) > 0)
      const right = await ask(status, { ...wrong, headers: bearer(tokens.read) })
      assert.equal(right.status, 200, 'a stranger behind the same proxy locks nobody out')
      const login = (token: string) =>
        ask(`${url}/console/login`, { method: 'POST', body: { token }, localAddress: '127.0.0.9' })
      assert.equal((await login(tokens.read)).status, 200)
      assert.equal((await login(`mmt_000000000000_${'B'.repeat(43)}`)).status, 429)
      assert.equal((await ask(status, { headers: bearer(tokens.read) })).status, 200)
    },
  )

  await t.test('who has shown no token sends no more than one', async () => {
    for (const [type, body] of [
      ['application/json', JSON.stringify({ token: 'x'.repeat(5000) })],
      ['application/octet-stream', 'x'.repeat(5000)],
    ] as const) {
      const answer = await fetch(`${url}/console/login`, {
        method: 'POST',
        headers: { 'content-type': type },
        body,
      })
      assert.equal(answer.status, 400, type)
      assert.match(await answer.text(), /body is too large/i, type)
    }
  })

  const open = await mirrormesh(['daemon', '--home', home], { env: { MIRRORMESH_API_LISTEN: '0.0.0.0:0' } })
  assert.equal(open.status, 2)
  assert.match(open.stderr, /there is no TLS/)
  assert.ok(!daemon.stderr().includes(tokens.admin.slice(17)), 'a secret is in the log')
  // Tokens outlive the daemon.
  await daemon.stop()
  const again = await startDaemon(t, home)
  const self = await again.get<SelfDocument>('/api/v1/self')
  assert.equal((await ask(`${self.api}/api/v1/status`, { headers: bearer(tokens.read) })).status, 200)
})

test('beyond loopback the API speaks TLS or does not start', {
  timeout: 300_000,
  skip: skipWithout('openssl'),
}, async (t) => {
  const dir = await tempDir(t)
  const [certificate, key] = [join(dir, 'api.pem'), join(dir, 'api.key')]
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', '/CN=node', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:node.example'],
      ...['-keyout', key, '-out', certificate],
    ],
    { stdio: 'pipe' },
  )
  const { home, daemon, url } = await startNode(
    t,
    `apiListen: 127.0.0.1:0\napiCertificate: ${certificate}\napiKey: ${key}\n`,
  )
  assert.match(url, /^https:/)
  const ca = execFileSync('cat', [certificate])
  const token = (await succeed(['token', 'create', '--home', home, '--name', 'x', '--scope', 'read'])).trim()
  const headers = { authorization: `Bearer ${token}` }
  const status = `${url}/api/v1/status`
  assert.equal((await ask(status, { headers, ca })).status, 200)
  assert.equal((await ask(status, { headers: { ...headers, host: 'node.example' }, ca })).status, 200)
  assert.equal((await ask(status, { headers: { ...headers, host: 'other.example' }, ca })).status, 403)
  await assert.rejects(ask(status, { headers }), /certificate/)
  const login = await ask(`${url}/console/login`, { method: 'POST', body: { token }, ca })
  assert.match(
    login.headers['set-cookie']?.[0] ?? '',
    /^__Host-.*; Path=\/; HttpOnly; SameSite=Strict; Secure;/,
  )
  const file = join(dir, 'token')
  await writeFile(file, token, { mode: 0o600 })
  const flags = ['status', '--api', url, '--token-file', file]
  const trusted = await mirrormesh(flags, { env: { NODE_EXTRA_CA_CERTS: certificate } })
  assert.equal(trusted.status, 0, trusted.stderr)
  const untrusted = await mirrormesh(flags)
  assert.equal(untrusted.status, 6, untrusted.stderr)
  assert.match(untrusted.stderr, /NODE_EXTRA_CA_CERTS/)
  await daemon.stop()
  const env = { MIRRORMESH_API_KEY: join(dir, 'none') }
  const outcome = await mirrormesh(['daemon', '--home', home], { env })
  assert.notEqual(outcome.status, 0)
  assert.match(outcome.stderr, /read the key of the api/)
})
