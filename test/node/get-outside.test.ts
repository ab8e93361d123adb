/** `get` on a machine that is no member: from gateways of real nodes, and from some that lie. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createGateways } from '../../node/get/gateways.ts'
import { createHttpGateway } from '../../node/get/http-gateway.ts'
import { learnGateways } from '../../node/get/learn-gateways.ts'
import { systemClock } from '../../src/base/clock.ts'
import { draftRecord, signRecord } from '../../src/record/draft.ts'
import { testKey } from '../replica/test-mesh.ts'
import { freePort, mirrormesh, startDaemon, succeed } from './program.ts'
import { signMesh } from './signed-mesh.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/x'
const LARGE_BYTES = 3_000_000

type Answer = (request: IncomingMessage, response: ServerResponse) => void

async function serve(t: TestContext, answer: Answer): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Hands everything on to a real gateway, but what `change` makes of a body. */
function proxyTo(port: number, change: (path: string, body: Buffer) => Buffer | Promise<Buffer>): Answer {
  return (incoming, response) => {
    const path = incoming.url ?? '/'
    request({ host: '127.0.0.1', port, path, agent: false }, async (answer) => {
      const pieces: Buffer[] = []
      for await (const piece of answer) pieces.push(piece as Buffer)
      const body = await change(path, Buffer.concat(pieces))
      response.writeHead(answer.statusCode ?? 500, { ...answer.headers, 'content-length': body.length })
      response.end(body)
    }).end()
  }
}

function framed(record: Uint8Array): Buffer {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(record.length)
  return Buffer.concat([head, record])
}

test('a machine that is no member gets what the publisher signed, whatever the gateways say', {
  timeout: 240_000,
}, async (t) => {
  const dir = await tempDir(t)
  const source = join(dir, 'source')
  const large = randomFillSync(Buffer.allocUnsafe(LARGE_BYTES))
  await mkdir(join(source, 'sub/deep'), { recursive: true })
  await writeFile(join(source, 'large'), large)
  for (let i = 0; i < 40; i++) await writeFile(join(source, `sub/${i}`), `file ${i}\n`)
  await writeFile(join(source, 'sub/deep/odd name%'), 'odd\n', { mode: 0o755 })
  await symlink('sub/deep', join(source, 'link'))
  await utimes(join(source, 'large'), 1_600_000_000, 1_600_000_000)
  const mesh = await signMesh(dir, { regions: { hq: 'us', lab: 'eu' }, tree: TREE, pinned: ['lab'] })
  const port = { hq: await freePort(), lab: await freePort() }
  const id = mesh.mesh.mesh.toString()
  const [hq, lab] = [`http://127.0.0.1:${port.hq}`, `http://127.0.0.1:${port.lab}`]
  const [hqNode] = await Promise.all([
    startDaemon(t, mesh.site('hq').home, { MIRRORMESH_HTTP: `127.0.0.1:${port.hq}` }),
    startDaemon(t, mesh.site('lab').home, { MIRRORMESH_HTTP: `127.0.0.1:${port.lab}` }),
  ])
  await succeed([
    'publish',
    source,
    '--home',
    hqNode.home,
    '--tree',
    TREE,
    '--wait',
    'all',
    '--timeout',
    '60s',
  ])
  const getAll = (home: string, ...args: string[]) => mirrormesh(['--home', join(dir, home), 'get', ...args])
  /** From those that are named. */
  const get = (home: string, ...args: string[]) => getAll(home, ...args, '--no-mirrors')
  let number = 0
  const dest = (): string => join(dir, `got-${++number}`)
  const isLarge = async (file: string): Promise<void> => assert.ok((await readFile(file)).equals(large))

  await t.test('the id of the mesh is needed once, and is never taken from a gateway', async () => {
    const without = await get('out', `${lab}/${TREE}/large`, dest())
    assert.equal(without.status, 2, without.stderr)
    assert.match(without.stderr, /not known here which mesh.*--mesh ID/s)
    const file = dest()
    const first = await get('out', `${lab}/${TREE}/large`, file, '--mesh', id)
    assert.equal(first.status, 0, first.stderr)
    assert.match(first.stderr, /builds\/x@1 of mesh test; the newest head, 1, is .* old/)
    await isLarge(file)
    assert.match(first.stdout, /^large is at .*, 3\.0 MB\n$/)
    assert.equal((await stat(file)).mtimeMs, 1_600_000_000_000)
    const again = dest()
    assert.equal((await get('out', `${lab}/${TREE}/@1/large`, again)).status, 0)
    await isLarge(again)
    const other = await get(
      'out',
      `${lab}/${TREE}/large`,
      dest(),
      '--mesh',
      mesh.mesh.genesis.id.toString().replace(/.$/, 'a'),
    )
    assert.notEqual(other.status, 0)
  })

  await t.test('a folder is checked out as it is, by name, over two gateways', async () => {
    const folder = dest()
    const outcome = await get(
      'two',
      `${TREE}@1:/sub`,
      folder,
      '--mesh',
      id,
      '--gateway',
      hq,
      '--gateway',
      `${lab}/`,
      '--json',
    )
    assert.equal(outcome.status, 0, outcome.stderr)
    const answer = JSON.parse(outcome.stdout) as {
      files: number
      mesh: string
      sequence: number
      newestSequence: number
    }
    assert.deepEqual([answer.files, answer.mesh, answer.sequence, answer.newestSequence], [41, id, 1, 1])
    execFileSync('diff', ['-r', join(source, 'sub'), folder])
    assert.equal((await stat(join(folder, 'deep/odd name%'))).mode & 0o777, 0o755)
    const whole = dest()
    assert.equal((await get('two', `${hq}/${TREE}/`, whole)).status, 0)
    execFileSync('diff', ['-r', '--no-dereference', source, whole])
    const text = await get('two', `${hq}/${TREE}/link/odd%20name%25`, '-')
    assert.equal(text.stdout, 'odd\n', text.stderr)
    assert.equal((await get('two', `${hq}/${TREE}/none`, dest())).status, 5)
    assert.equal((await get('two', `${hq}/builds/none/x`, dest())).status, 5)
    for (const [given, said] of [
      [[`${hq}/`], /names no tree.*\/TREE\/PATH/],
      [['ftp://x/y'], /not the URL of a gateway/],
      [[`${hq}/${TREE}/large`, '--mesh', 'bafyx'], /not the id of a mesh: "bafyx"/],
    ] as const) {
      const wrong = await get('two', given[0], dest(), ...given.slice(1))
      assert.equal(wrong.status, 2, wrong.stderr)
      assert.match(wrong.stderr, said)
    }
    const inside = await mirrormesh(['--home', join(dir, 'two'), 'get', `${TREE}:/large`, dest()])
    assert.equal(inside.status, 7)
    assert.match(inside.stderr, /no member names a gateway/)
  })

  await t.test('gateways that lie are found out and left, and the others serve', async () => {
    const { genesis } = mesh.mesh
    const madeUp = signRecord(
      draftRecord({
        kind: 'genesis',
        body: {
          name: 'test',
          admins: { keys: [testKey(9).publicKey], threshold: 1 },
          recovery: testKey(8).publicKey,
          nonce: new Uint8Array(16),
        },
        mesh: null,
        issuer: testKey(9).publicKey,
        tip: undefined,
        timeMs: genesis.timeMs,
      }),
      testKey(9),
    )
    const flip = (body: Buffer): Buffer => {
      const copy = Buffer.from(body)
      copy[copy.length >> 1]! ^= 1
      return copy
    }
    const liars: Readonly<Record<string, Answer>> = {
      'wrong object': proxyTo(port.lab, (path, body) => (path.includes('/object?') ? flip(body) : body)),
      'wrong block': proxyTo(port.lab, (path, body) => (path.includes('/block?') ? flip(body) : body)),
      'wrong record': proxyTo(port.lab, (path, body) => (path.includes('/proof?') ? flip(body) : body)),
      'another mesh': (_, response) => response.end(framed(madeUp)),
      'no frames': (_, response) => response.end(Buffer.alloc(100_000, 7)),
      endless: (_, response) => {
        response.writeHead(200)
        const more = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(65_536)));
        }
        response.on('drain', more)
        more()
      },
      'a length that is too large': (_, response) => {
        response.writeHead(200, { 'content-length': 1e15 })
        response.write('x')
      },
      'less than announced': proxyTo(port.lab, (path, body) =>
        path.includes('/block?') ? body.subarray(0, body.length - 1) : body,
      ),
      silent: () => undefined,
      'an error page': (_, response) => {
        response.writeHead(500, { 'content-length': 3 })
        response.end('\x1b[2')
      },
    }
    const urls = await Promise.all(Object.values(liars).map((answer) => serve(t, answer)))
    const file = dest()
    const outcome = await get(
      'lied-to',
      `${urls[0]}/${TREE}/large`,
      file,
      '--mesh',
      id,
      ...urls.slice(1).flatMap((url) => ['--gateway', url]),
      '--gateway',
      hq,
      '--json',
    )
    assert.equal(outcome.status, 0, outcome.stderr)
    await isLarge(file)
    const { leftGateways } = JSON.parse(outcome.stdout) as { leftGateways: Record<string, string> }
    for (const [at, what] of Object.keys(liars).entries()) {
      // The first block may have come from elsewhere before a short one was seen.
      if (what === 'less than announced') continue
      assert.ok(leftGateways[urls[at]!] !== undefined, `${what}: ${JSON.stringify(leftGateways)}`)
    }
    assert.equal(leftGateways[hq], undefined)
    assert.doesNotMatch(outcome.stderr, /\x1b/)

    const alone = await get('alone', `${urls[3]}/${TREE}/large`, dest(), '--mesh', id)
    assert.equal(alone.status, 1, alone.stderr)
    assert.match(alone.stderr, /gateway of another mesh/)
    const blocks = dest()
    const corrupt = await get('alone', `${urls[0]}/${TREE}/large`, blocks, '--mesh', id)
    assert.notEqual(corrupt.status, 0)
    await assert.rejects(stat(blocks), { code: 'ENOENT' })
  })

  await t.test('a gateway leads to others, which are strangers until they prove themselves', async () => {
    const asked: Record<string, string[]> = { hq: [], stranger: [] }
    const noting = (who: string, answer: Answer) => (incoming: IncomingMessage, response: ServerResponse) => {
      asked[who]!.push(`${incoming.url}${incoming.headers.authorization ?? ''}`)
      answer(incoming, response)
    }
    const [isAsked, isHeard] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const second = await serve(
      t,
      noting('hq', (incoming, response) => {
        if (incoming.url?.includes('/block?') === true) isAsked.resolve()
        proxyTo(port.hq, (_, body) => body)(incoming, response)
      }),
    )
    const stranger = await serve(
      t,
      noting('stranger', (_, response) => {
        response.on('close', isHeard.resolve)
        response.end('<html>')
      }),
    )
    const liar = await serve(
      t,
      proxyTo(port.lab, (path, body) =>
        path.includes('/block?') ? Buffer.from(body.map((byte) => byte ^ 1)) : body,
      ),
    )
    const named = [stranger, liar, 'http://169.254.169.254', 'http://127.0.0.1:25', second]
    const list = named.map((origin) => `${origin}/${TREE}/@1+/\n`).join('')
    let blocks = 0
    const first = await serve(
      t,
      proxyTo(port.lab, async (path, body) => {
        if (path.startsWith('/mirrorlist')) return Buffer.from(`\x1b[31m\nhttp://127.0.0.1:1/other/\n${list}`)
        // What leads to the file, and then no more until the other is asked too.
        if (path.includes('/block?') && ++blocks > 3) await Promise.all([isAsked.promise, isHeard.promise])
        return body
      }),
    )
    const token = join(dir, 'token')
    await writeFile(token, `mmt_${'a'.repeat(43)}\n`, { mode: 0o600 })
    const file = dest()
    const given = ['--mesh', id, '--gateway-token-file', token, '--json']
    const outcome = await getAll('learns', `${first}/${TREE}/large`, file, ...given)
    assert.equal(outcome.status, 0, outcome.stderr)
    await isLarge(file)
    const answer = JSON.parse(outcome.stdout) as Record<
      'gateways' | 'learnedGateways' | 'leftGateways',
      Record<string, unknown>
    >
    assert.equal(answer.learnedGateways[second], first, outcome.stdout)
    assert.ok(Number(answer.gateways[second]) > 0 && Number(answer.gateways[first]) > 0, outcome.stdout)
    assert.match(String(answer.leftGateways['http://169.254.169.254']), /not to lead to such an address/)
    assert.match(String(answer.leftGateways[stranger]), /not what|announces|something else/)
    assert.deepEqual(asked.stranger, [`/_mesh/proof?path=${encodeURIComponent(`/${TREE}`)}`])
    assert.ok(!asked.hq!.some((each) => each.includes('mmt_')))
    assert.ok(!('http://127.0.0.1:25' in { ...answer.learnedGateways, ...answer.leftGateways }))
    const before = asked.hq!.length
    assert.equal((await get('learns', `${first}/${TREE}/sub/3`, dest())).status, 0)
    assert.equal(asked.hq!.length, before, 'nor is it kept')
  })

  await t.test('what was cut off goes on with what is there', async () => {
    let served = 0
    let limit = 8
    const stingy = await serve(t, (incoming, response) => {
      if (incoming.url?.includes('/block?') === true && ++served > limit) response.destroy()
      else proxyTo(port.hq, (_, body) => body)(incoming, response)
    })
    const file = dest()
    const broken = await get('cut', `${stingy}/${TREE}/large`, file, '--mesh', id)
    assert.equal(broken.status, 7, broken.stderr)
    await assert.rejects(stat(file), { code: 'ENOENT' })
    const before = served
    limit = Number.POSITIVE_INFINITY
    assert.equal((await get('cut', `${stingy}/${TREE}/large`, file)).status, 0)
    await isLarge(file)
    const resumed = served - before
    assert.equal((await get('uncut', `${stingy}/${TREE}/large`, dest(), '--mesh', id)).status, 0)
    const whole = served - before - resumed
    assert.ok(resumed <= whole - 6, `${resumed} blocks asked for again, of ${whole}`)
    await assert.rejects(stat(join(dir, `.got-${number - 1}.mirrormesh-get`)), { code: 'ENOENT' })
  })

  await t.test('of several heads the newest counts; a frozen gateway cannot lead back', async () => {
    const old = await (await fetch(`${hq}/_mesh/proof?path=/${TREE}`)).arrayBuffer()
    await writeFile(join(source, 'new'), 'new\n')
    await succeed([
      'publish',
      source,
      '--home',
      hqNode.home,
      '--tree',
      TREE,
      '--wait',
      'all',
      '--timeout',
      '60s',
    ])
    const frozen = await serve(
      t,
      proxyTo(port.lab, (path, body) => (path.includes('/proof?') ? Buffer.from(old) : body)),
    )
    const both = dest()
    const outcome = await get('thawed', `${frozen}/${TREE}/new`, both, '--mesh', id, '--gateway', hq)
    assert.equal(outcome.status, 0, outcome.stderr)
    assert.equal(await readFile(both, 'utf8'), 'new\n')
    const leads = createHttpGateway(
      await serve(
        t,
        proxyTo(port.hq, (path, body) =>
          path.startsWith('/mirrorlist')
            ? Buffer.from(`${frozen}/${TREE}/@2+/\n${lab}/${TREE}/@2+/\n`)
            : body,
        ),
      ),
    )
    const gateways = createGateways([leads], systemClock)
    const options = { mesh: mesh.mesh.mesh, tree: TREE, sequence: 2, clock: systemClock, signal: t.signal }
    const learned = await learnGateways([leads], gateways, options)
    gateways.close()
    assert.deepEqual(
      learned.map(({ origin, newestSequence }) => [origin, newestSequence]),
      [[lab, 2]],
    )
    assert.match(gateways.left.get(frozen)!, /behind: it knows of no snapshot 2/)
    // Seen once, never again anything older.
    const back = await get('thawed', `${TREE}:/large`, dest(), '--mesh', id, '--gateway', hq)
    assert.equal(back.status, 0, back.stderr)
    const alone = await get('cold', `${frozen}/${TREE}/large`, dest(), '--mesh', id)
    assert.equal(alone.status, 0, alone.stderr)
    const aged = await get('cold', `${frozen}/${TREE}/large`, dest(), '--max-age', '0s')
    assert.equal(aged.status, 6, aged.stderr)
    assert.match(aged.stderr, /older than --max-age/)
    await hqNode.stop()
    const older = await get('thawed', `${frozen}/${TREE}/large`, dest())
    assert.equal(older.status, 6, older.stderr)
    assert.match(older.stderr, /gateways prove is 1; 2 has been seen here before/)
    assert.equal((await get('thawed', `${frozen}/${TREE}/large`, dest(), '--accept-older')).status, 0)
  })

  await t.test(
    'a snapshot with a path that was taken down is not taken from a gateway that has not heard',
    async () => {
      const takedown = mesh.mesh.sign(mesh.mesh.admin, 'takedown', {
        ...{ name: `${TREE}:new`, tree: TREE, snapshots: [], path: 'new', through: 2, reason: 'leaked' },
        ...{ version: 1, removed: false },
      })
      const told = await serve(
        t,
        proxyTo(port.lab, (path, body) =>
          path.includes('/proof?') ? Buffer.concat([body, framed(takedown.bytes)]) : body,
        ),
      )
      const taken = await get('taken', `${told}/${TREE}/@2/large`, dest(), '--mesh', id)
      assert.equal(taken.status, 6, taken.stderr)
      assert.match(taken.stderr, /builds\/x with "new" was taken down/)
      const older = await get('taken', `${told}/${TREE}/@1/large`, dest(), '--mesh', id)
      assert.equal(older.status, 0, older.stderr)
    },
  )
})
