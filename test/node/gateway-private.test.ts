import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Gateway } from '../../node/gateway/gateway.ts'
import { tokenIn } from '../../node/gateway/rights.ts'
import { loadTokens } from '../../node/tokens.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { createTestMesh } from './gateway-mesh.ts'
import { tempDir } from './temp-dir.ts'

async function withSecrets(t: TestContext) {
  const mesh = await createTestMesh()
  await mesh.publish('builds/open', [['a.txt', utf8('for all')]])
  await mesh.publish('builds/secret', [['a.txt', utf8('for some')]])
  await mesh.publish('vault/keys', [['a.txt', utf8('for few')]])
  mesh.hide('builds/secret')
  mesh.hide('vault/keys')
  const clock = new VirtualClock()
  const tokens = await loadTokens({ file: join(await tempDir(t), 'tokens.json'), clock })
  const gateway = await mesh.start({}, { tokens, clock })
  t.after(() => gateway.stop(0))
  const make = (...trees: string[]) =>
    tokens.create({ kind: 'gateway', trees, name: 'test', expiresMs: clock.nowMs() + 1000 })
  return { mesh, clock, tokens, gateway, make }
}

function get(gateway: Gateway, path: string, authorization?: string): Promise<Response> {
  return fetch(`http://${gateway.address()}${path}`, {
    redirect: 'manual',
    headers: { accept: 'application/json', ...(authorization === undefined ? {} : { authorization }) },
  })
}

const names = async (answer: Response): Promise<string[]> =>
  ((await answer.json()) as { entries: { name: string }[] }).entries.map(({ name }) => name)

/** All that a client can see of an answer, but for its date. */
async function shownBy(answer: Response): Promise<unknown> {
  const headers = [...answer.headers].filter(([name]) => name !== 'date')
  return { status: answer.status, headers, body: await answer.text() }
}

const block = cidOf(RAW, utf8('for few')).toString()

test('without a token a private tree is what a tree that does not exist is', async (t) => {
  const { gateway, make } = await withSecrets(t)
  assert.equal((await get(gateway, '/builds/open/a.txt')).status, 200)
  assert.deepEqual(await names(await get(gateway, '/')), ['builds'])
  assert.deepEqual(await names(await get(gateway, '/builds/')), ['open'])
  const other = `Bearer ${(await make('builds/secret')).text}`
  for (const authorization of [undefined, 'Bearer wrong', other]) {
    for (const [real, none] of [
      ['/vault/keys/a.txt', '/vault/nope/a.txt'],
      ['/vault/keys/@1/a.txt', '/vault/nope/@1/a.txt'],
      ['/vault/keys', '/vault/nope'],
      ['/vault/', '/valet/'],
      ['/mirrorlist?tree=vault/keys', '/mirrorlist?tree=vault/nope'],
      ['/metalink?tree=vault/keys&path=a.txt', '/metalink?tree=vault/nope&path=a.txt'],
      ['/nearest/vault/keys/a.txt', '/nearest/vault/nope/a.txt'],
      [`/ipfs/${block}?format=raw&tree=vault/keys`, `/ipfs/${block}?format=raw&tree=vault/nope`],
    ] as const) {
      const seen = await shownBy(await get(gateway, real, authorization))
      assert.deepEqual(seen, await shownBy(await get(gateway, none, authorization)), real)
      const { status } = seen as { status: number }
      assert.equal(status, authorization === other ? 404 : 401)
    }
  }
  const { headers } = await get(gateway, '/vault/keys/')
  assert.match(headers.get('www-authenticate') ?? '', /^Basic realm="mirrormesh".*, Bearer realm=/)
})

test('a token opens its trees, as a bearer and as the password of any user', async (t) => {
  const { gateway, make } = await withSecrets(t)
  const { text: token } = await make('builds/*')
  const basic = (user: string): string => `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}`
  for (const authorization of [`Bearer ${token}`, `bearer ${token}`, basic(''), basic('apt')]) {
    const answer = await get(gateway, '/builds/secret/a.txt', authorization)
    assert.equal(answer.status, 200)
    assert.equal(await answer.text(), 'for some')
    assert.equal(answer.headers.get('cache-control'), 'private, no-cache')
    assert.equal(answer.headers.get('vary'), 'authorization')
    assert.deepEqual(await names(await get(gateway, '/builds/', authorization)), ['open', 'secret'])
    assert.equal((await get(gateway, '/vault/keys/a.txt', authorization)).status, 404)
  }
  for (const path of ['/mirrorlist?tree=builds/secret', '/metalink?tree=builds/secret&path=a.txt'])
    assert.equal((await get(gateway, path, `Bearer ${token}`)).status, 200, path)
  const listing = await get(gateway, '/builds/secret/@1/', `Bearer ${token}`)
  assert.equal(listing.headers.get('vary'), 'accept, accept-encoding, authorization')
  assert.equal(listing.headers.get('cache-control'), 'private, max-age=604800, immutable')
  assert.equal((await get(gateway, '/builds/secret/a.txt', `Basic ${token}`)).status, 401)
})

test('a token that was revoked or has expired opens nothing, and what is public stays open', async (t) => {
  const { gateway, make, tokens, clock } = await withSecrets(t)
  const [one, two] = [await make('**'), await make('**')]
  const status = async (token: string, path = '/vault/keys/a.txt'): Promise<number> =>
    (await get(gateway, path, `Bearer ${token}`)).status
  assert.deepEqual([await status(one.text), await status(two.text)], [200, 200])
  await tokens.revoke(one.token.id)
  assert.deepEqual([await status(one.text), await status(two.text)], [401, 200])
  clock.advanceTo(clock.nowMs() + 1000)
  assert.equal(await status(two.text), 401)
  assert.equal(await status(two.text, '/builds/open/a.txt'), 200)
})

test('where nothing is private an unknown tree is not found', async (t) => {
  const mesh = await createTestMesh()
  await mesh.publish('open', [['a', utf8('a')]])
  const gateway = await mesh.start()
  t.after(() => gateway.stop(0))
  assert.equal((await get(gateway, '/nope/')).status, 404)
})

test('only the two forms of the header hold a token', () => {
  const cases: readonly (readonly [string | undefined, string | undefined])[] = [
    [undefined, undefined],
    ['', undefined],
    ['Bearer', undefined],
    ['Bearer x', 'x'],
    ['  BEARER   x ', 'x'],
    ['Bearer x y', undefined],
    ['Digest x', undefined],
    [`Basic ${Buffer.from('a:b:c').toString('base64')}`, 'b:c'],
    [`Basic ${Buffer.from('nocolon').toString('base64')}`, undefined],
    [`Bearer ${'x'.repeat(2000)}`, undefined],
  ]
  for (const [header, token] of cases) assert.equal(tokenIn(header), token, header)
})
