/**
 * An origin and a whole region that nobody can dial from outside, as their settings say, and a member between them that does
 * not want the tree.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { TopologyDocument } from '../../node/api/answers.ts'
import { RELAY_HIGH_BYTES, RELAY_MAX_WINDOW_BYTES } from '../../src/net/limits.ts'
import { startHostile } from './hostile-member.ts'
import { freePort, startDaemon, succeed, succeedJson, until } from './program.ts'
import { DEAD_PORT, signMesh } from './signed-mesh.ts'
import { tempDir } from './temp-dir.ts'

const TREE_BYTES = 3_000_000
const HOP = '/libp2p/circuit/relay/0.2.0/hop'
const STOP = '/libp2p/circuit/relay/0.2.0/stop'
const delimited = (...bytes: readonly number[]): Buffer => Buffer.of(bytes.length, ...bytes)
const RESERVE = delimited(0x08, 0)
/** The status OK of who is asked for. */
const CONNECTED = delimited(0x08, 1, 0x20, 100)
const CIRCUITS = 4
const FLOW_BYTES = 8 * 1024 * 1024
const UNIT = Buffer.alloc(256 * 1024)

test('an origin that cannot be dialled publishes, and a region of such sites fetches, through a third', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const source = join(dir, 'source')
  const mesh = await signMesh(dir, {
    regions: { hq: 'us', middle: 'eu', 'lab-a': 'asia', 'lab-b': 'asia', mallory: 'af', eve: 'af' },
    tree: 'x',
    pinned: ['lab-a', 'lab-b'],
    hidden: ['hq', 'lab-a', 'lab-b'],
  })
  const http = `127.0.0.1:${await freePort()}`
  await startDaemon(t, mesh.site('middle').home, { MIRRORMESH_HTTP: http })
  const hidden = { MIRRORMESH_REACHABLE: 'false', MIRRORMESH_ANNOUNCE: `127.0.0.1:${DEAD_PORT}` }
  const [hq, ...labs] = await Promise.all(
    ['hq', 'lab-a', 'lab-b'].map((site) => startDaemon(t, mesh.site(site).home, hidden)),
  )
  const pathsAt = async (home: string): Promise<unknown[]> =>
    (await succeedJson<TopologyDocument>(['topology', 'show', '--home', home])).measured.map(
      ({ site, isRelayed }) => `${site} ${isRelayed ? 'relayed' : 'direct'}`,
    )
  for (const lab of labs)
    await until('it sees the origin through the middle, and its neighbour', async () => {
      const paths = await pathsAt(lab.home)
      return paths.includes('hq relayed') && paths.includes('middle direct') && paths.length === 3
    })
  assert.ok((await pathsAt(labs[0]!.home)).includes('lab-b direct'))
  await mkdir(source)
  await writeFile(join(source, 'image'), randomFillSync(Buffer.allocUnsafe(TREE_BYTES)))
  await succeed(['publish', source, '--home', hq!.home, '--tree', 'x'])
  for (const [at, site] of ['lab-a', 'lab-b'].entries())
    await until(`${site} has the tree`, async () =>
      (await labs[at]!.status()).trees.some(({ sites }) =>
        sites.some((each) => each.site === site && each.checkouts[0]?.sequence === 1),
      ),
    )
  for (const site of ['lab-a', 'lab-b']) execFileSync('diff', ['-r', source, mesh.site(site).checkout])
  assert.match(await succeed(['topology', 'show', '--home', labs[0]!.home]), /hq +us +wan, relayed/)
  const metrics = await (await fetch(`http://${http}/metrics`)).text()
  const relayed = Number(/^mirrormesh_relayed_bytes (\d+)$/m.exec(metrics)?.[1])
  // The region takes it once, and shares it.
  assert.ok(relayed > TREE_BYTES && relayed < 1.5 * TREE_BYTES, `${relayed} bytes relayed`)

  await t.test('two members of whom one sends and the other stops reading have it hold little', async () => {
    const [sender, reader] = await Promise.all(
      ['mallory', 'eve'].map((site) => startHostile(t, mesh.site(site))),
    )
    await reader!.node.handle(STOP, (stream) => {
      let readBytes = 0
      stream.addEventListener('message', ({ data }) => {
        // The request comes first. As long as it is read quickly the windows on the way grow.
        if (readBytes === 0) stream.send(CONNECTED)
        readBytes += data.byteLength
        if (readBytes > FLOW_BYTES && stream.readStatus === 'readable') stream.pause()
      })
    })
    const atReader = await reader!.dial(mesh.site('middle'))
    await asked(await atReader.newStream(HOP), RESERVE)
    const connection = await sender!.dial(mesh.site('middle'))
    const connect = connectTo(peerIdFromString(mesh.site('eve').key.peer).toMultihash().bytes)
    let sentBytes = 0
    let waiting = 0
    for (let i = 0; i < CIRCUITS; i++) {
      const stream = await connection.newStream(HOP)
      await asked(stream, connect)
      void (async () => {
        for (;;) {
          const isOpen = stream.send(UNIT)
          sentBytes += UNIT.length
          if (isOpen) continue
          waiting++
          // The stream's own `onDrain` keeps its first promise.
          await once(stream as unknown as EventTarget, 'drain')
          waiting--
        }
      })().catch(() => undefined)
    }
    let before = -1
    await until('nothing more is taken', async () => {
      const isStuck = waiting === CIRCUITS && sentBytes === before
      before = sentBytes
      return isStuck
    })
    assert.ok(sentBytes > CIRCUITS * FLOW_BYTES)
    const after = await (await fetch(`http://${http}/metrics`)).text()
    const heldBytes = Number(/^mirrormesh_relay_held_bytes (\d+)$/m.exec(after)?.[1])
    // What waited is read at once, and as much may be underway.
    const bound = RELAY_HIGH_BYTES + 2 * RELAY_MAX_WINDOW_BYTES
    assert.ok(heldBytes > CIRCUITS * RELAY_HIGH_BYTES, `${heldBytes} bytes held`)
    assert.ok(heldBytes <= CIRCUITS * bound, `${heldBytes} bytes held of ${CIRCUITS} connections`)
  })
})

/** One message of the relay's protocol, and its answer. */
async function asked(stream: Stream, request: Uint8Array): Promise<void> {
  const ended = new AbortController()
  stream.addEventListener('close', () => ended.abort(new Error('the relay closed the stream')), {
    once: true,
  })
  const signal = AbortSignal.any([ended.signal, AbortSignal.timeout(30_000)])
  const answered = once(stream as unknown as EventTarget, 'message', { signal })
  stream.send(request)
  const [{ data }] = (await answered) as [{ data: { subarray(): Uint8Array } }]
  // STATUS, and OK as its last field.
  assert.ok(Buffer.from(data.subarray()).includes(Buffer.of(0x28, 100)), 'the relay said no')
}

function connectTo(peer: Uint8Array): Buffer {
  const of = Buffer.concat([Buffer.of(0x0a, peer.length), peer])
  return delimited(0x08, 1, 0x12, of.length, ...of)
}
