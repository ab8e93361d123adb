/** What the API says of itself, held against what it does: every route, asked of a real daemon. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import Fastify from 'fastify'
import type { ChainDocument } from '../../../node/api/answers.ts'
import type { EventFeed } from '../../../node/api/event-feed.ts'
import type { Route } from '../../../node/api/openapi.ts'
import type { InviteDocument } from '../../../node/api/schema/member-answers.ts'
import { addRoutes } from '../../../node/api/server.ts'
import type { Services } from '../../../node/api/services.ts'
import { createApiClient } from '../../../node/cli/api-client.ts'
import type { ConfigDocument } from '../../../node/config-editor.ts'
import { loadKey } from '../../../node/keys.ts'
import { choosePaths } from '../../../node/paths.ts'
import { parseCid } from '../../../src/block/cid.ts'
import type { Bodies, Kind } from '../../../src/record/content.ts'
import { draftRecord, signRecord } from '../../../src/record/draft.ts'
import { inviteSecretHash } from '../../../src/record/invite-token.ts'
import { publicKeyOf } from '../../../src/record/key.ts'
import { pinName } from '../../../src/record/kinds/pin.ts'
import { mirrormesh, socketOf, startDaemon, succeed, succeedJson } from '../program.ts'
import { tempDir } from '../temp-dir.ts'

/** Those of this program: nothing is asked of them, so they need no services. */
function ownRoutes(): readonly Route[] {
  return addRoutes(Fastify(), {} as Services, {} as EventFeed)
}

test('every route says who may ask and what it answers', () => {
  for (const { method, path, spec } of ownRoutes()) {
    const name = `${method} ${path}`
    assert.ok(spec !== undefined, `${name} says nothing: give it says({ ... })`)
    assert.match(spec.summary, /^[A-Z][^.]*[^.]$/, name)
    const hasNoDocument = spec.status === 204 || spec.answerAs === 'bytes' || spec.answerAs === 'events'
    assert.equal(spec.answer === undefined, hasNoDocument, `${name} has no schema of its answer`)
    if (method === 'POST' || method === 'PATCH')
      assert.ok(spec.body !== undefined, `${name} has no schema of its body`)
    if (method !== 'GET' && spec.scope === 'read') assert.match(path, /plan/, `${name} changes nothing?`)
  }
})

/** Signed by the mesh's admin, as the verbs do it. */
async function anAdminsRecord<K extends Kind>(home: string, kind: K, body: Bodies[K]): Promise<Uint8Array> {
  const paths = choosePaths({ home, env: {}, uid: 0 })
  const admin = await loadKey(paths.adminKeyFile, 'the key of an admin')
  const api = createApiClient({ paths, self: 'mirrormesh' })
  const chain = await api.get<ChainDocument>(`/api/v1/chain/${admin.peer}`)
  const draft = draftRecord({
    mesh: parseCid(chain.mesh),
    issuer: admin.publicKey,
    timeMs: Date.now(),
    kind,
    body,
    tip: { counter: chain.counter, id: parseCid(chain.prev!) },
  })
  return signRecord(draft, admin)
}

test('docs/api.md tells of every route', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../docs/api.md'), 'utf8')
  const missing = ownRoutes()
    .map(
      ({ method, path }) => `${method} ${path.replace(/:(\w+)/g, (_, name: string) => name.toUpperCase())}`,
    )
    .filter(
      (route) =>
        !text
          .split(route)
          .slice(1)
          .some((rest) => !/^[A-Za-z/-]/.test(rest)),
    )
  assert.deepEqual(missing, [])
})

interface Described {
  readonly openapi: string
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, { operationId: string; parameters: { name: string }[] }>>>
  >
}

test('what the routes answer is what they say', { timeout: 300_000 }, async (t) => {
  const dir = await tempDir(t)
  const [home, source] = [join(dir, 'hq'), join(dir, 'source')]
  await mkdir(join(source, 'sub'), { recursive: true })
  await mkdir(join(dir, 'out', 'a'), { recursive: true })
  await writeFile(join(source, 'file'), 'first')
  await succeed([
    ...['init', '--home', home, '--mesh', 'm', '--site', 'hq', '--region', 'r'],
    ...['--listen', '127.0.0.1:0', '--http', 'off'],
  ])
  const daemon = await startDaemon(t, home)
  const api = createApiClient({ paths: choosePaths({ home, env: {}, uid: 0 }), self: 'mirrormesh' })
  const self = await api.get<{ peer: string }>('/api/v1/self')
  await succeed(['publish', source, '--home', home, '--tree', 'a/x'])
  await writeFile(join(source, 'file'), 'second')
  await succeed(['publish', source, '--home', home, '--tree', 'a/x'])
  await succeed(['tag', 'a/x@1', 'old', '--home', home])
  await succeed(['pin', 'add', 'a/**', '--site', 'hq', '--checkout', join(dir, 'out'), '--home', home])
  await succeed(['invite', '--site', 'lab', '--region', 'r', '--home', home])
  await succeed(['token', 'create', '--scope', 'read', '--home', home])
  await succeed(['site', 'label', 'hq', 'big', '--home', home])
  const plan = await api.post<{ id: string }>('/api/v1/pins/plan', {
    tree: 'b',
    sites: { all: true },
    removed: false,
  })
  const job = await api.post<{ id: string }>('/api/v1/jobs', { kind: 'collect', dryRun: true })
  for await (const { event } of api.events(`/api/v1/jobs/${job.id}/events`)) if (event === 'end') break

  /** For each route that is asked with GET: what to ask. Null: there is nothing to ask here. */
  const samples: Readonly<Record<string, readonly string[] | null>> = {
    '/api/v1/self': [''],
    '/api/v1/session': [''],
    '/api/v1/status': [''],
    '/api/v1/chain/:peer': [`/api/v1/chain/${self.peer}`],
    '/api/v1/next-version': ['?kind=pin&name=x', '?kind=tag&name=old&tree=a/x'],
    '/api/v1/pins': [''],
    '/api/v1/pins/plan/:id': [`/api/v1/pins/plan/${plan.id}`],
    '/api/v1/members': ['', '?limit=1'],
    '/api/v1/admins': [''],
    '/api/v1/invites': [''],
    '/api/v1/records': ['', '?limit=2'],
    '/api/v1/grants': [''],
    '/api/v1/requests': [''],
    '/api/v1/sites': [''],
    '/api/v1/topology': [''],
    '/api/v1/fetches': [''],
    '/api/v1/sites/:site/fetches': ['/api/v1/sites/hq/fetches'],
    '/api/v1/sites/:site/fetches/:tree': null,
    '/api/v1/fetches/:tree': null,
    '/api/v1/trees': [''],
    '/api/v1/trees/:tree': ['/api/v1/trees/a%2fx'],
    '/api/v1/trees/:tree/history': ['/api/v1/trees/a%2fx/history', '/api/v1/trees/a%2fx/history?limit=1'],
    '/api/v1/trees/:tree/takedown': ['/api/v1/trees/a%2fx/takedown?ref=1'],
    '/api/v1/trees/:tree/place': ['/api/v1/trees/a%2fx/place?ref=old'],
    '/api/v1/trees/:tree/resolve': [
      '/api/v1/trees/a%2fx/resolve?path=file',
      '/api/v1/trees/a%2fx/resolve?path=sub',
    ],
    '/api/v1/trees/:tree/entries': [
      '/api/v1/trees/a%2fx/entries?recursive=true',
      '/api/v1/trees/a%2fx/entries?limit=1',
    ],
    '/api/v1/trees/:tree/file': null,
    '/api/v1/trees/:tree/diff': [
      '/api/v1/trees/a%2fx/diff?ref=1&toRef=2',
      `/api/v1/trees/a%2fx/diff?dir=${source}&checksum=true`,
    ],
    '/api/v1/trees/:tree/diff-bytes': ['/api/v1/trees/a%2fx/diff-bytes?ref=1&toRef=2'],
    '/api/v1/store/backings': [''],
    '/api/v1/jobs': ['', '?limit=1'],
    '/api/v1/jobs/:id': [`/api/v1/jobs/${job.id}`],
    '/api/v1/jobs/:id/events': null,
    '/api/v1/events': null,
    '/api/v1/tokens': [''],
    '/api/v1/history': ['?series=in.wan,complete.a/x'],
    '/api/v1/history/series': [''],
    '/api/v1/limits': [''],
    '/api/v1/config': [''],
    '/api/v1/openapi.json': [''],
  }
  const routes = ownRoutes()
  for (const { method, path, spec } of routes) {
    if (method !== 'GET') continue
    const asked = samples[path]
    assert.ok(asked !== undefined, `no sample for GET ${path}`)
    for (const sample of asked ?? []) {
      const url = sample.startsWith('/') ? sample : `${path}${sample}`
      const documents = spec?.answerAs === 'lines' ? [] : [await api.get<unknown>(url)]
      if (spec?.answerAs === 'lines') for await (const line of api.lines<unknown>(url)) documents.push(line)
      assert.ok(documents.length > 0, url)
      for (const document of documents) {
        const read = spec?.answer?.safeParse(document)
        assert.ok(
          read?.success === true,
          `${url}: ${read?.error?.message}\n${JSON.stringify(document).slice(0, 2000)}`,
        )
      }
    }
  }

  const described = await api.get<Described>('/api/v1/openapi.json')
  assert.match(described.openapi, /^3\.1\./)
  const names = (found: Iterable<string>) => [...found].toSorted()
  assert.deepEqual(
    names(
      Object.entries(described.paths).flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => `${method} ${path}`),
      ),
    ),
    names(routes.map(({ method, path }) => `${method.toLowerCase()} ${path.replace(/:(\w+)/g, '{$1}')}`)),
  )
  const operations = Object.values(described.paths).flatMap((methods) => Object.values(methods))
  assert.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length)
  assert.deepEqual(
    described.paths['/api/v1/records']?.get?.parameters.map(({ name }) => name),
    ['limit', 'cursor', 'kind', 'subject'],
  )
  assert.ok(JSON.stringify(described).includes('percent-encoded-bytes'))

  await t.test('pages lead through all there is, once', async () => {
    for (const [path, field, key] of [
      ['/api/v1/trees/a%2fx/history', 'heads', 'sequence'],
      ['/api/v1/jobs', 'jobs', 'id'],
      ['/api/v1/records', 'records', 'id'],
    ] as const) {
      type Page = Record<string, Record<string, unknown>[]> & { cursor: string | null }
      const whole = (await api.get<Page>(`${path}?limit=1000`))[field]!.map((item) => item[key])
      const found: unknown[] = []
      let cursor: string | null = ''
      while (cursor !== null) {
        const page: Page = await api.get<Page>(`${path}?limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`)
        assert.ok(page[field]!.length <= 1)
        found.push(...page[field]!.map((item) => item[key]))
        cursor = page.cursor
      }
      assert.deepEqual(found, whole, path)
      await assert.rejects(api.get(`${path}?cursor=%21`), { code: 'invalid' })
      await assert.rejects(api.get(`${path}?limit=0`), { code: 'invalid' })
    }
  })
  await t.test('a folder is read in pages of one snapshot, whatever is published meanwhile', async () => {
    type Line = { path?: string; sequence?: number; entries?: number; cursor?: string | null }
    const read = async (query: string) =>
      Array.fromAsync(api.lines<Line>(`/api/v1/trees/a%2fx/entries?${query}`))
    const first = await read('limit=1')
    assert.deepEqual([first.length, first[0]?.entries, first[0]?.sequence, first[1]?.path], [3, 2, 2, 'file'])
    await writeFile(join(source, 'a new one'), 'x')
    await succeed(['publish', source, '--home', home, '--tree', 'a/x'])
    const next = await read(`limit=1&cursor=${first[2]?.cursor}`)
    assert.deepEqual([next[0]?.sequence, next[1]?.path, next[2]?.cursor], [2, 'sub', null])
    assert.deepEqual(
      (await read(`cursor=${first[2]?.cursor}`)).map(({ path }) => path),
      ['', 'sub', undefined],
    )
    assert.equal((await read('')).length, 4, 'a header and three entries, and nothing about pages')
    await assert.rejects(read(`ref=3&cursor=${first[2]?.cursor}`), { code: 'conflict' })
    await assert.rejects(read('limit=1&recursive=true'), { code: 'invalid' })
    for (const cursor of ['%21', 'MSBi', Buffer.from('x').toString('base64url')])
      await assert.rejects(read(`cursor=${cursor}`), { code: 'invalid' })
  })
  await t.test('a change on the ground of what is no longer so is refused', async () => {
    const socketPath = socketOf(home)
    const ask = (method: string, path: string, headers: Record<string, string> = {}, body?: object) =>
      new Promise<{ status: number; etag: string | undefined; text: string }>((resolve, reject) => {
        const outgoing = request(
          { socketPath, method, path, headers: { 'content-type': 'application/json', ...headers } },
          (incoming) => {
            let text = ''
            incoming.setEncoding('utf8').on('data', (chunk: string) => {
              text += chunk
            })
            incoming.on('end', () =>
              resolve({ status: incoming.statusCode ?? 0, etag: incoming.headers.etag, text }),
            )
          },
        )
        outgoing.on('error', reject)
        outgoing.end(body === undefined ? undefined : JSON.stringify(body))
      })
    const { etag: before = '' } = await ask('GET', '/api/v1/limits')
    const change = (etag: string, value: number | null) =>
      ask('PATCH', '/api/v1/limits', { 'if-match': etag }, { wanUpBytesPerSecond: value })
    const changed = await change(before, 1_000_000)
    assert.equal(changed.status, 200)
    assert.equal((await change(before, 5)).status, 412)
    assert.equal((await change(changed.etag ?? '', null)).status, 200)
    assert.equal((await ask('PATCH', '/api/v1/limits', {}, { wanUp: 5 })).status, 400)

    const shown = ['limits', 'set', '--wan-up', '20M', '--region-down', 'none', '--home', home]
    assert.match(await succeed(shown), /^wan up +20\.0 MB\/s +set; config says no cap$/m)
    await succeed(['limits', 'set', '--wan-up', 'config', '--region-down', 'config', '--home', home])
    assert.doesNotMatch(await succeed(['limits', 'show', '--home', home]), /set/)
    assert.match(
      await succeed(['limits', 'set', '--give-way', '40ms', '--give-way-min', '90k', '--home', home]),
      /^other traffic to other regions: given way to, at 40 ms of queue \(set; config says off\); over each path 90\.0 kB\/s at least$/m,
    )
    assert.match(
      await succeed(['limits', 'set', '--give-way', 'off', '--give-way-min', 'config', '--home', home]),
      /^other traffic to other regions: not given way to \(set; config says off\)$/m,
    )
    await succeed(['limits', 'set', '--give-way', 'config', '--home', home])

    const patched = async (settings: object) => ask('PATCH', '/api/v1/config', {}, { settings })
    const config = join(home, 'config.yaml')
    const comment = readFileSync(config, 'utf8').split('\n')[0]!
    const kept = JSON.parse((await patched({ keepSnapshots: 5 })).text) as ConfigDocument
    const setting = kept.settings.find(({ key }) => key === 'keepSnapshots')
    assert.deepEqual([setting?.value, setting?.next, setting?.isEditable], [3, 5, true])
    assert.match(readFileSync(config, 'utf8'), /^keepSnapshots: 5$/m)
    assert.ok(readFileSync(config, 'utf8').startsWith(comment))
    for (const [wrong, status] of [
      [{ keepSnapshots: 'many' }, 400],
      [{ apiListen: '0.0.0.0:1' }, 403],
      [{ hooks: [] }, 403],
      [{ nothing: 1 }, 400],
      [{}, 400],
    ] as const) {
      assert.equal((await patched(wrong)).status, status, JSON.stringify(wrong))
    }
    assert.equal(
      (await ask('PATCH', '/api/v1/config', { 'if-match': '"x"' }, { settings: { workers: 2 } })).status,
      412,
    )
    assert.doesNotMatch((await patched({ keepSnapshots: null })).text, /"next"/)
    const set = await succeed(['config', 'set', 'storeCompression', 'zstd', '--home', home])
    assert.equal(set, 'storeCompression: "received", and "zstd" from the next start\n')
    assert.equal(
      await succeed(['config', 'unset', 'storeCompression', '--home', home]),
      'storeCompression: "received"\n',
    )

    const windows = ['--window', 'daily 00:00-24:00 wan-up=3M', '--time-zone', 'Asia/Tokyo']
    const scheduled = await succeed(['limits', 'schedule', ...windows, '--home', home])
    assert.match(scheduled, /^wan up +3\.0 MB\/s +schedule; else no cap$/m)
    assert.match(scheduled, /by the clocks of Asia\/Tokyo\n\* daily 00:00-24:00 wan-up=3M, now$/m)
    assert.equal((await change(changed.etag ?? '', null)).status, 412)
    await succeed(['limits', 'schedule', '--config', '--home', home])
    assert.match(
      (await mirrormesh(['limits', 'schedule', '--window', 'x', '--home', home])).stderr,
      /a window is/,
    )

    for (const [path, command] of [
      ['/api/v1/pins', ['pin', 'remove', 'a/**', '--site', 'hq']],
      ['/api/v1/sites', ['site', 'drain', 'hq', '--note', 'x']],
      ['/api/v1/trees', ['tag', 'a/x@2', 'new']],
    ] as const) {
      const seen = (await ask('GET', path)).etag
      assert.ok(seen !== undefined && (await ask('GET', path)).etag === seen, path)
      await succeed([...command, '--home', home])
      assert.notEqual((await ask('GET', path)).etag, seen, path)
    }
    // A record that is known already may come again, unless the list has changed since.
    const pins = (await ask('GET', '/api/v1/pins')).etag ?? ''
    const tree = (await ask('GET', '/api/v1/trees')).etag ?? ''
    const sites = { all: true } as const
    const pin = { name: pinName('z', sites), tree: 'z', sites, removed: false, version: 1 }
    const record = Buffer.from(await anAdminsRecord(home, 'pin', pin)).toString('base64')
    assert.equal((await ask('POST', '/api/v1/records', { 'if-match': tree }, { record })).status, 412)
    const good = await ask('POST', '/api/v1/records', { 'if-match': pins }, { record })
    assert.equal(good.status, 201, good.text)
  })
  await t.test('an invite that an admin signed elsewhere becomes a token by which a site joins', async () => {
    const secret = new Uint8Array(randomBytes(32))
    const admitter = publicKeyOf(self.peer)
    const invite = (site: string, by = admitter) => ({
      ...{ admitter: by, secretHash: inviteSecretHash(secret), site, region: 'r', roles: ['site'] },
      expiresMs: Date.now() + 3_600_000,
    })
    const post = async (body: Bodies['invite'], more: object) => {
      const record = Buffer.from(await anAdminsRecord(home, 'invite', body)).toString('base64')
      return api.post<{ invite: InviteDocument; token: string | null }>('/api/v1/invites', {
        record,
        ...more,
      })
    }
    const text = Buffer.from(secret).toString('base64url')
    await assert.rejects(post(invite('lab2', new Uint8Array(32)), { secret: text }), { code: 'invalid' })
    await assert.rejects(post(invite('hq'), { secret: text }), { code: 'conflict' })
    await assert.rejects(post(invite('lab2'), { secret: 'A'.repeat(43) }), {
      code: 'invalid',
      message: /not that of/,
    })
    const wrong = Buffer.from(
      await anAdminsRecord(home, 'pin', {
        name: 'p',
        tree: 'z',
        sites: { all: true },
        removed: true,
        version: 1,
      }),
    )
    await assert.rejects(api.post('/api/v1/invites', { record: wrong.toString('base64') }), {
      code: 'invalid',
    })
    assert.equal((await post(invite('lab3'), {})).token, null)
    const { token, invite: made } = await post(invite('lab2'), { secret: text })
    assert.deepEqual([made.site, made.state], ['lab2', 'open'])
    await succeed([
      'join',
      '--home',
      join(dir, 'lab2'),
      token ?? '',
      '--listen',
      '127.0.0.1:0',
      '--http',
      'off',
    ])
  })
  assert.ok(!/api\.failed/.test(daemon.stderr()))
  assert.equal((await succeedJson<{ trees: unknown[] }>(['status', '--home', home])).trees.length, 1)
})
