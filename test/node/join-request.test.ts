/** Machines without an invite, on real processes: they ask at one member, an admin at another lets one in and turns one down. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { RequestDocument } from '../../node/api/routes/request-routes.ts'
import type { MemberDocument } from '../../node/api/schema/member-answers.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { freePort, mirrormesh, type Outcome, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

/** A `join --request` that goes on in the background, as long as the test. */
function ask(
  t: TestContext,
  ...args: readonly string[]
): { readonly stderr: () => string; readonly done: Promise<Outcome> } {
  let child: ChildProcess | undefined
  let text = ''
  const done = mirrormesh(args, {
    onStart(started) {
      child = started
      t.after(() => started.kill('SIGKILL'))
      started.stderr?.on('data', (chunk: string) => {
        text += chunk
      })
    },
  })
  return { stderr: () => `${text}${child === undefined ? 'not started' : ''}`, done }
}

test('a machine without an invite asks, shows a code, and is let in by an admin at another node', {
  timeout: 240_000,
}, async (t) => {
  const dir = await tempDir(t)
  const homes = { hq: join(dir, 'hq'), lab: join(dir, 'lab'), shop: join(dir, 'shop'), bad: join(dir, 'bad') }
  const at = (home: string, ...args: string[]): string[] => ['--home', home, ...args]
  const listen = ['--listen', '127.0.0.1:0', '--http', 'off']
  const labAddress = `127.0.0.1:${await freePort()}`
  await succeed(at(homes.hq, 'init', '--mesh', 'acme', '--site', 'hq', '--region', 'us', ...listen))
  const hq = await startDaemon(t, homes.hq)
  const token = await succeed(at(homes.hq, 'invite', '--site', 'lab', '--region', 'eu'))
  await succeed(at(homes.lab, 'join', token.trim(), '--listen', labAddress, '--http', 'off'))
  let lab = await startDaemon(t, homes.lab)
  const mesh = (await hq.status()).mesh.id
  const requestsAt = async (home: string) =>
    (await succeedJson<{ requests: RequestDocument[] }>(at(home, 'member', 'requests'))).requests
  const codeOf = (asking: { stderr(): string }) =>
    until('a code is shown', async () => /^code (\d{4}-\d{4})$/m.exec(asking.stderr())?.[1]).catch(
      (error: Error) => {
        throw new Error(`${error.message}; it said: ${asking.stderr()}`)
      },
    )

  await t.test('what is missing or wrong is said before anything is asked', async () => {
    for (const [args, pattern] of [
      [['join'], /join takes a token, or --request/],
      [['join', '--request', labAddress], /say which mesh/],
      [['join', '--request', 'nowhere', '--mesh', mesh], /not an address/],
      [['join', '--request', labAddress, '--mesh', 'acme'], /--mesh is the id of a mesh/],
      [['join', 'mm1.x', '--site', 'shop'], /go with --request/],
    ] as const) {
      const outcome = await mirrormesh(at(homes.shop, ...args))
      assert.equal(outcome.status, 2, outcome.stderr)
      assert.match(outcome.stderr, pattern)
    }
    const other = await mirrormesh(
      at(homes.bad, 'join', '--request', labAddress, '--mesh', cidOf(DAG_CBOR, new Uint8Array(3)).toString()),
    )
    assert.equal(other.status, 6, other.stderr)
    assert.match(other.stderr, /another mesh/)
  })

  const shop = ask(
    t,
    ...at(
      homes.shop,
      'join',
      '--request',
      labAddress,
      '--mesh',
      mesh,
      '--site',
      'shop',
      '--region',
      'eu',
      ...listen,
    ),
  )
  const first = await codeOf(shop)

  await t.test('every node shows the request, and a restarted member is asked anew', async () => {
    const found = await until('hq knows', async () => (await requestsAt(homes.hq))[0])
    assert.deepEqual(
      [found.code, found.site, found.region, found.viaSite, found.address],
      [first, 'shop', 'eu', 'lab', '127.0.0.1'],
    )
    assert.match(shop.stderr(), new RegExp(`this machine is ${found.peer}, and asked ${found.via}`))
    assert.match(
      await succeed(at(homes.hq, 'member', 'requests')),
      new RegExp(`${first} +shop +eu +.* lab +12D3KooW`),
    )
    assert.match(
      await succeed(at(homes.hq, 'status')),
      new RegExp(`ASKS to join: shop, code ${first}, at lab`),
    )
    const missing = await mirrormesh(at(homes.hq, 'member', 'approve', '0000-0000', '--yes'))
    assert.equal(missing.status, 5, missing.stderr)
    const elsewhere = await mirrormesh(at(homes.hq, 'member', 'deny', first))
    assert.equal(elsewhere.status, 8, elsewhere.stderr)
    assert.match(elsewhere.stderr, /asked at lab, which alone can turn it down/)
    await lab.stop()
    lab = await startDaemon(t, homes.lab)
    await until('it asked anew', async () => shop.stderr().match(/^code /gm)?.length === 2)
    await until('hq knows the new code', async () => {
      const [now] = await requestsAt(homes.hq)
      return now !== undefined && now.code !== first
    })
  })

  await t.test('an admin compares the code and lets it in; its daemon starts as any other', async () => {
    const code = [...shop.stderr().matchAll(/^code (\S+)$/gm)].at(-1)![1]!
    const unasked = await mirrormesh(at(homes.hq, 'member', 'approve', code))
    assert.equal(unasked.status, 6, unasked.stderr)
    assert.match(unasked.stderr, /shop in eu: 12D3KooW\w+, from 127\.0\.0\.1, asked at lab/)
    const taken = await mirrormesh(at(homes.hq, 'member', 'approve', code, '--site', 'lab', '--yes'))
    assert.equal(taken.status, 8, taken.stderr)
    const nobody = await mirrormesh(at(homes.lab, 'member', 'approve', code, '--yes'))
    assert.equal(nobody.status, 6, nobody.stderr)
    assert.match(nobody.stderr, /needs the key of an admin/)
    const member = await succeedJson<{ peer: string; site: string }>(
      at(homes.hq, 'member', 'approve', code, '--site', 'shop-1', '--yes'),
    )
    const joined = await shop.done
    assert.equal(joined.status, 0, joined.stderr)
    assert.match(joined.stdout, /^joined mesh acme as shop-1 in eu\n/)
    const daemon = await startDaemon(t, homes.shop)
    await until('it knows the others', async () => (await daemon.status()).sites.length === 3)
    const { members } = await succeedJson<{ members: MemberDocument[] }>(at(homes.lab, 'member', 'list'))
    assert.equal(members.find(({ peer }) => peer === member.peer)?.site, 'shop-1')
    await until('no request is left', async () => (await requestsAt(homes.hq)).length === 0)
    const again = await mirrormesh(at(homes.shop, 'join', '--request', labAddress, '--mesh', mesh))
    assert.notEqual(again.status, 0)
  })

  await t.test('one that is turned down ends, and one that nobody answers gives up', async () => {
    const bad = ask(t, ...at(homes.bad, 'join', '--request', labAddress, '--mesh', mesh, ...listen))
    const code = await codeOf(bad)
    const wishless = await until('hq knows', async () => (await requestsAt(homes.hq))[0])
    assert.deepEqual([wishless.code, wishless.site], [code, null])
    const unnamed = await mirrormesh(at(homes.hq, 'member', 'approve', code, '--yes'))
    assert.equal(unnamed.status, 2, unnamed.stderr)
    assert.match(unnamed.stderr, /name it with --site/)
    assert.match(await succeed(at(homes.lab, 'member', 'deny', code)), /turned down/)
    const denied = await bad.done
    assert.equal(denied.status, 6, denied.stderr)
    assert.match(denied.stderr, /an admin of the mesh has turned this request down/)
    const worse = ask(
      t,
      ...at(join(dir, 'worse'), 'join', '--request', labAddress, '--mesh', mesh, ...listen),
    )
    const unwanted = await codeOf(worse)
    await until('hq knows', async () => (await requestsAt(homes.hq)).some((each) => each.code === unwanted))
    const mild = await mirrormesh(at(homes.lab, 'member', 'deny', unwanted, '--everywhere', '--yes'))
    assert.equal(mild.status, 6, 'an admin has to sign that')
    assert.match(
      await succeed(at(homes.hq, 'member', 'deny', unwanted, '--everywhere', '--yes')),
      /turned down/,
    )
    // Nobody speaks with it any more, so it is not told why.
    for (const home of [homes.lab, homes.hq])
      await until('no request is left', async () => (await requestsAt(home)).length === 0)
    const late = await mirrormesh(
      at(join(dir, 'late'), 'join', '--request', labAddress, '--mesh', mesh, '--timeout', '3s'),
    )
    assert.equal(late.status, 124, late.stderr)
    assert.match(late.stderr, /no admin has let this machine in within 3s/)
  })
})
