/** A member that lies on the wire to real daemons: wrong bytes, empty promises, questions that it has no right to ask. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { PublishAnswer, VerifyAnswer } from '../../node/api/jobs/job-answers.ts'
import { createApiClient } from '../../node/cli/api-client.ts'
import { choosePaths } from '../../node/paths.ts'
import { cidToKeyBytes, parseCid } from '../../src/block/cid.ts'
import { decodeCbor, encodeCbor } from '../../src/block/codec.ts'
import { blake3 } from '../../src/block/hash.ts'
import { decodeIndexNode } from '../../src/dag/block-index.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { testKey } from '../replica/test-mesh.ts'
import {
  ASKED,
  ask,
  askQuestion,
  BLOCKS,
  frame,
  OBJECT,
  onFrames,
  readBlocksRequest,
  startHostile,
  TYPE,
  treeName,
  u16,
  u32,
  u64,
} from './hostile-member.ts'
import { type Daemon, freePort, startDaemon, succeed, succeedJson, until } from './program.ts'
import { type SignedMesh, signMesh } from './signed-mesh.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/nightly'
const FILE_BYTES = 500_000
const MARK = 'these bytes are wrong; '

/** An origin, and a lab whose only neighbour is the attacker. */
async function withHostile(t: TestContext): Promise<{
  readonly dir: string
  readonly mesh: SignedMesh
  readonly mallory: Awaited<ReturnType<typeof startHostile>>
  readonly hq: Daemon
  readonly lab: Daemon
  publish(): Promise<PublishAnswer>
}> {
  const dir = await tempDir(t)
  const source = join(dir, 'source')
  const mesh = await signMesh(dir, {
    regions: { hq: 'us', lab: 'eu', mallory: 'eu' },
    tree: TREE,
    pinned: ['lab', 'mallory'],
  })
  const mallory = await startHostile(t, mesh.site('mallory'))
  await mallory.promiseEverything()
  const [hq, lab] = await Promise.all([
    startDaemon(t, mesh.site('hq').home),
    startDaemon(t, mesh.site('lab').home),
  ])
  await until('the lab is connected to both', async () => {
    const up = (await lab.status()).sites.filter(({ state }) => state === 'up').map(({ site }) => site)
    const isThere = mallory.node
      .getConnections()
      .some(({ remotePeer }) => remotePeer.toString() === mesh.site('lab').key.peer)
    return up.includes('hq') && isThere
  })
  await mkdir(source)
  return {
    dir,
    mesh,
    mallory,
    hq,
    lab,
    async publish() {
      for (let i = 0; i < 8; i++)
        await writeFile(join(source, `file-${i}`), randomFillSync(Buffer.allocUnsafe(FILE_BYTES)))
      return succeedJson<PublishAnswer>(['publish', source, '--home', hq.home, '--tree', TREE])
    },
  }
}

function completes(lab: Daemon): Promise<unknown> {
  return until('the lab completes', async () =>
    (await lab.status()).trees.some(({ sites }) =>
      sites.some(
        ({ site, state, checkouts }) =>
          site === 'lab' && state === 'complete' && checkouts[0]?.sequence === 1,
      ),
    ),
  )
}

async function isWhole(lab: Daemon, dir: string): Promise<void> {
  assert.ok((await succeedJson<VerifyAnswer>(['verify', TREE, '--home', lab.home])).isGood)
  execFileSync('diff', ['-r', join(dir, 'source'), join(dir, 'lab-tree')])
}

test('a neighbour that sends wrong bytes is blamed and dropped, and none of them is on the disk', {
  timeout: 300_000,
}, async (t) => {
  const { dir, mesh, mallory, lab, publish } = await withHostile(t)
  let sent = 0
  await mallory.node.handle(BLOCKS, (stream) =>
    onFrames(stream, (type, body) => {
      if (type !== TYPE.request) return
      const { id, offsets } = readBlocksRequest(body)
      for (const offset of offsets) {
        const wrong = Buffer.alloc(20_000, MARK)
        stream.send(frame(TYPE.data, u32(id), u16(offset), Buffer.of(0), u32(wrong.length), wrong))
        sent++
      }
      stream.send(frame(TYPE.end, u32(id)))
    }),
  )
  await publish()
  await completes(lab)
  assert.ok(sent > 0, 'the lab asked its neighbour')
  await isWhole(lab, dir)
  const { alarms } = await lab.status()
  const { peer } = mesh.site('mallory').key
  assert.ok(
    alarms.some(({ kind, subject }) => kind === 'wrong-bytes' && subject === peer),
    JSON.stringify(alarms),
  )
  assert.match(lab.stderr(), /"event":"fetch\.blamed"/)
  await until('it is dropped', async () =>
    mallory.node
      .getConnections()
      .every(({ remotePeer }) => remotePeer.toString() !== mesh.site('lab').key.peer),
  )
  await lab.stop()
  const found = (): string =>
    execFileSync('grep', ['-rlaF', MARK, lab.home, join(dir, 'lab-tree')], { encoding: 'utf8' })
  assert.throws(found, { status: 1 })
})

test('a neighbour that promises every block and sends none is passed over', {
  timeout: 300_000,
}, async (t) => {
  const { dir, mallory, hq, lab, publish } = await withHostile(t)
  let asked = 0
  await mallory.node.handle(BLOCKS, (stream) =>
    onFrames(stream, (type) => {
      if (type === TYPE.request) asked++
    }),
  )
  const { blocks } = await publish()
  await completes(lab)
  assert.ok(asked > 0, 'the lab asked its neighbour')
  await isWhole(lab, dir)
  const { traffic } = await hq.status()
  assert.ok(traffic.blocksSent <= 1.02 * blocks, `${traffic.blocksSent} left the origin for ${blocks} blocks`)
})

test('the right to a tree is looked at before a block is served by its position', {
  timeout: 300_000,
}, async (t) => {
  const { dir, mesh, mallory, hq, publish } = await withHostile(t)
  const origin = mesh.site('hq')
  const api = createApiClient({ paths: choosePaths({ home: hq.home, env: {}, uid: 0 }), self: 'mirrormesh' })
  const submit = (record: { readonly bytes: Uint8Array }): Promise<unknown> =>
    api.post('/api/v1/records', { record: Buffer.from(record.bytes).toString('base64') })
  const { snapshot } = await publish()
  for (const record of mesh.mesh.tree('other', origin.key)) await submit(record)
  const other = join(dir, 'other')
  await mkdir(other)
  await writeFile(join(other, 'file'), 'another tree\n')
  await succeed(['publish', other, '--home', hq.home, '--tree', 'other'])
  const connection = await mallory.dial(origin)
  const objects = await connection.newStream(OBJECT)
  let id = 0
  const object = async (
    tree: string,
    cid: Parameters<typeof cidToKeyBytes>[0],
  ): Promise<Buffer | undefined> => (await ask(objects, ++id, treeName(tree), cidToKeyBytes(cid))).data[0]
  const snapshotCid = parseCid(snapshot)
  const { index } = decodeSnapshot(snapshotCid, (await object(TREE, snapshotCid))!)
  assert.equal(await object('other', snapshotCid), undefined, 'an object by the name of another tree')
  const node = decodeIndexNode(index, (await object(TREE, index))!)
  assert.ok(node.kind === 'page')
  const requests = await connection.newStream(BLOCKS)
  const blocks = (tree: string): ReturnType<typeof ask> =>
    ask(requests, ++id, treeName(tree), cidToKeyBytes(index), u16(2), u16(0), u16(1))
  const refused = (answer: Awaited<ReturnType<typeof ask>>): void => {
    assert.equal(answer.data.length, 0)
    const offsets = answer.missing.flatMap((body) =>
      Array.from({ length: body.readUInt16BE(0) }, (_, i) => body.readUInt16BE(2 + 2 * i)),
    )
    assert.deepEqual(offsets.sort(), [0, 1])
  }
  assert.equal((await blocks(TREE)).data.length, 2, 'a member reads the tree')
  refused(await blocks('other'))
  refused(await blocks('unknown/tree'))

  // What shows that a copy is here is under the name of who shows it, and of nothing that did not come by that tree.
  const nonce = new Uint8Array(32).fill(5)
  const show = async (tree: string, at: readonly number[]): Promise<[number, unknown]> => {
    const question = encodeCbor({ q: 'possession', tree, root: snapshotCid, nonce, at })
    const { type, body } = await askQuestion(connection, question)
    return [type, type === ASKED.answer ? decodeCbor(new Uint8Array(body), 'an answer') : undefined]
  }
  const data = (await blocks(TREE)).data.toSorted((a, b) => a.readUInt16BE(0) - b.readUInt16BE(0))
  const parts = [Buffer.from(origin.key.peer), ...data.map((each) => each.subarray(7))]
  const digest = blake3.keyed(
    nonce,
    parts.flatMap((part) => [u64(part.length), part]),
  )
  assert.deepEqual(await show(TREE, [0, 1]), [ASKED.answer, { h: digest }])
  assert.deepEqual(await show('other', [0, 1]), [ASKED.answer, {}])
  assert.deepEqual(await show('unknown/tree', [0, 1]), [ASKED.answer, {}])
  assert.deepEqual(await show(TREE, [node.page.blocks.length]), [ASKED.answer, {}])
  assert.deepEqual(await show(TREE, [0, 1, 2, 3, 4, 5, 6, 7, 8]), [ASKED.refused, undefined])
  assert.deepEqual(await show(TREE, [1, 0]), [ASKED.refused, undefined])

  const stranger = await startHostile(t, { key: testKey(99), port: await freePort() })
  await assert.rejects(async () => {
    const asked = await (await stranger.dial(origin)).newStream(BLOCKS)
    await ask(asked, 1, treeName(TREE), cidToKeyBytes(index), u16(1), u16(0))
  })

  // The member is thrown out: what it has open is closed, and it does not come back.
  const revocation = mesh.mesh.sign(mesh.mesh.admin, 'revocation', {
    key: mesh.site('mallory').key.publicKey,
    counter: 0,
    last: null,
    reason: 'it lies',
  })
  await submit(revocation)
  await until('its connection is closed', async () => connection.status !== 'open')
  await assert.rejects(blocks(TREE))
  await assert.rejects(async () => {
    const asked = await (await mallory.dial(origin)).newStream(BLOCKS)
    await ask(asked, 1, treeName(TREE), cidToKeyBytes(index), u16(1), u16(0))
  })
})
