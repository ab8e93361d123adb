/** Private trees on real daemons: a publisher, a reader, a site without the right, and a member under an attacker's control. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { appendFile, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { SelfDocument } from '../../node/api/answers.ts'
import type { PublishAnswer } from '../../node/api/jobs/job-answers.ts'
import { createApiClient } from '../../node/cli/api-client.ts'
import { choosePaths } from '../../node/paths.ts'
import type { Token } from '../../node/tokens.ts'
import type { Block } from '../../src/block/block.ts'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { type Cid, cidOf, cidToKeyBytes, parseCid, RAW } from '../../src/block/cid.ts'
import { createBlockIndexBuilder, decodeIndexNode } from '../../src/dag/block-index.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { decodeSnapshot, encodeSnapshot } from '../../src/dag/snapshot.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { ask, BLOCKS, frame, OBJECT, onFrames, startHostile, treeName, u16, WATCH } from './hostile-member.ts'
import { type Daemon, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { signMesh } from './signed-mesh.ts'
import { tempDir } from './temp-dir.ts'

const SECRET = 'secret/plans'
const BAIT = 'bait'
const SECRET_BYTES = Buffer.alloc(9_000, 'what only readers may know; ')
const BIG_BYTES = 12_000_000

/** A snapshot of one file that has one chunk: whoever makes it needs its CID and its length, and not its bytes. */
function baitOf(
  chunk: Cid,
  sizeBytes: number,
  name: string,
): { snapshot: Cid; objects: Block[]; listed: Block[] } {
  const objects: Block[] = []
  const listed: Block[] = []
  const metadata = { mode: 0o644, mtimeSec: 0, mtimeNsec: 0, uid: 0, gid: 0 }
  const file: Entry = { type: 'file', name: Buffer.from(name), sizeBytes, content: chunk, ...metadata }
  const keep = (into: Block[]) => (block: Block) =>
    void into.push({ cid: block.cid, bytes: block.bytes.slice() })
  const directory = buildDirectory([file], keep(listed))
  const index = createBlockIndexBuilder(keep(objects))
  index.add(chunk, sizeBytes)
  for (const { cid, bytes } of listed) index.add(cid, bytes.length)
  const built = index.finish()
  const snapshot = encodeSnapshot({
    tree: BAIT,
    root: { type: 'directory', name: new Uint8Array(0), directory, ...metadata, mode: 0o755 },
    index: built.root,
    createdMs: 0,
    chunker: DEFAULT_CHUNKER,
    counts: {
      files: 1,
      directories: 1,
      symlinks: 0,
      bytes: sizeBytes,
      blocks: built.blocks,
      blockBytes: built.sizeBytes,
    },
    uncaptured: { count: 0, first: [] },
    notes: {},
  })
  objects.push(snapshot)
  return { snapshot: snapshot.cid, objects, listed }
}

function replicaOf(status: StatusDocument, tree: string, site: string) {
  return status.trees.find((each) => each.tree === tree)?.sites.find((each) => each.site === site)
}

test('a private tree is for its readers, whoever asks, by whatever tree and address', {
  timeout: 240_000,
}, async (t) => {
  const dir = await tempDir(t)
  const mesh = await signMesh(dir, {
    regions: { hq: 'us', lab: 'us', shop: 'us', mallory: 'us' },
    tree: 'open',
    pinned: [],
    http: ['lab'],
    more: (records, site) => [
      ...records.tree(SECRET, site('hq').key, 'granted'),
      ...records.tree('secret/big', site('hq').key, 'granted'),
      ...records.tree('secret/copy', site('hq').key, 'granted'),
      ...records.tree(BAIT, site('mallory').key),
      records.reader(site('lab').key, ['secret/*']),
      ...(
        [
          [SECRET, 'lab'],
          [SECRET, 'shop'],
          [BAIT, 'lab'],
          ['secret/copy', 'lab'],
        ] as const
      ).map(([tree, name]) =>
        records.sign(records.admin, 'pin', {
          name: `${tree}@${name}`,
          tree,
          sites: { site: name },
          version: 1,
          removed: false,
        }),
      ),
    ],
  })
  const [hqSite, labSite, shopSite] = [mesh.site('hq'), mesh.site('lab'), mesh.site('shop')]
  const configOf = ({ home }: { home: string }): string => choosePaths({ home, env: {}, uid: 0 }).configFile
  // So that a fetch of 12 MB takes a while.
  await appendFile(configOf(labSite), 'apiListen: 127.0.0.1:0\n')
  await appendFile(configOf(hqSite), 'regionUpBytesPerSecond: 3000000\n')
  const mallory = await startHostile(t, mesh.site('mallory'))
  const chunk = cidOf(RAW, SECRET_BYTES)
  const bait = baitOf(chunk, SECRET_BYTES.length, 'plan')
  const honest = baitOf(chunk, SECRET_BYTES.length, 'real')
  let hasBytes = false
  await mallory.serve({
    objects: [...bait.objects, ...honest.objects],
    blockAt: (_, offset) =>
      offset === 0
        ? hasBytes
          ? SECRET_BYTES
          : undefined
        : (hasBytes ? honest : bait).listed[offset - 1]?.bytes,
  })
  const [hq, lab, shop] = await Promise.all(
    [hqSite, labSite, shopSite].map(({ home }) => startDaemon(t, home)),
  )
  assert.ok(hq !== undefined && lab !== undefined && shop !== undefined)
  const apiOf = ({ home }: Pick<Daemon, 'home'>) =>
    createApiClient({ paths: choosePaths({ home, env: {}, uid: 0 }), self: 'mirrormesh' })
  const submit = (record: { readonly bytes: Uint8Array }): Promise<unknown> =>
    apiOf(hq).post('/api/v1/records', { record: Buffer.from(record.bytes).toString('base64') })
  const replica = async (daemon: Daemon, tree: string, site: string) =>
    replicaOf(await daemon.status(), tree, site)
  const isComplete = (tree: string): Promise<unknown> =>
    until(
      `${tree} is complete at the lab`,
      async () => (await replica(lab, tree, 'lab'))?.state === 'complete',
    )

  const source = join(dir, 'plans')
  await mkdir(source)
  await writeFile(join(source, 'plan'), SECRET_BYTES)
  await writeFile(join(source, 'another'), randomFillSync(Buffer.allocUnsafe(50_000)))
  const { snapshot } = await succeedJson<PublishAnswer>([
    'publish',
    source,
    '--home',
    hq.home,
    '--tree',
    SECRET,
  ])
  const secret = parseCid(snapshot)

  await t.test('its reader gets it; a site without the right says so, and has nothing of it', async () => {
    await isComplete(SECRET)
    const denied = await until('the shop knows of the head', async () => {
      const found = await replica(shop, SECRET, 'shop')
      return found?.reason?.startsWith('no right') === true ? found : undefined
    })
    assert.equal(denied.sequence, null)
    await until('the others hear of it', async () =>
      (await replica(hq, SECRET, 'shop'))?.reason?.startsWith('no right'),
    )
    const refused = await mirrormesh(['ls', SECRET, '--home', shop.home])
    assert.notEqual(refused.status, 0)
    assert.deepEqual((await readdir(join(shop.home, 'store', 'packs'))).length, 0)
  })

  await t.test('a pin to a site without the right is refused where it is made', async () => {
    const refused = await mirrormesh(['pin', 'add', SECRET, '--site', 'shop', '--home', hq.home])
    assert.equal(refused.status, 6, refused.stderr)
    assert.match(
      refused.stderr,
      /secret\/plans is private, and the pin covers sites that may not read it: shop/,
    )
    assert.match(refused.stderr, /grant add shop --role reader --tree secret\/plans/)
  })

  const connection = await mallory.dial(labSite)
  const [objects, blocks] = [await connection.newStream(OBJECT), await connection.newStream(BLOCKS)]
  let id = 0
  const object = async (tree: string, cid: Cid): Promise<Buffer | undefined> =>
    (await ask(objects, ++id, treeName(tree), cidToKeyBytes(cid))).data[0]
  const block = async (tree: string, page: Cid, offset: number): Promise<Buffer | undefined> =>
    (await ask(blocks, ++id, treeName(tree), cidToKeyBytes(page), u16(1), u16(offset))).data[0]
  /** All that is told of a snapshot, as it comes. */
  async function watch(
    tree: string,
    cid: Cid,
  ): Promise<{ told: { type: number; body: Buffer }[]; isOver: () => boolean }> {
    const told: { type: number; body: Buffer }[] = []
    const stream = await connection.newStream(WATCH)
    onFrames(stream, (type, body) => told.push({ type, body: Buffer.from(body) }))
    stream.send(frame(0x01, treeName(tree), cidToKeyBytes(cid)))
    await until('something is told', async () => told.length > 0)
    return { told, isOver: () => stream.remoteWriteStatus !== 'writable' }
  }
  const UNKNOWN = 0x82

  await t.test(
    'a member without the right is given and told nothing, and gets all with it, until it ends',
    async () => {
      const { index } = decodeSnapshot(secret, await readObject())
      async function readObject(): Promise<Uint8Array> {
        const reader = mesh.site('mallory').key
        assert.equal(await object(SECRET, secret), undefined)
        assert.deepEqual(
          (await watch(SECRET, secret)).told.map(({ type }) => type),
          [UNKNOWN],
        )
        await submit(mesh.mesh.reader(reader, [SECRET]))
        return until('the grant counts at the lab', async () => object(SECRET, secret))
      }
      const node = decodeIndexNode(index, (await object(SECRET, index))!)
      assert.equal(node.kind, 'page')
      assert.ok((await block(SECRET, index, 0)) !== undefined)
      assert.deepEqual(
        (await watch(SECRET, secret)).told.map(({ type }) => type),
        [0x81],
      )
      await submit(mesh.mesh.reader(mesh.site('mallory').key, [SECRET], 2, true))
      // On the same streams, which stay open.
      await until('the right has ended', async () => (await block(SECRET, index, 0)) === undefined)
      assert.equal(await object(SECRET, secret), undefined)
      assert.equal(await object(SECRET, index), undefined)
      assert.deepEqual(
        (await watch(SECRET, secret)).told.map(({ type }) => type),
        [UNKNOWN],
      )
      assert.equal(await object('open', secret), undefined, 'nor by the name of a tree that it may read')
      assert.deepEqual([objects.status, blocks.status, connection.status], ['open', 'open', 'open'])
      assert.ok(
        (await lab.status()).alarms.every(({ kind }) => kind !== 'wrong-bytes'),
        'nobody is to blame',
      )
    },
  )

  const labUrl = `http://${(await apiOf(lab).get<SelfDocument>('/api/v1/self')).http}`
  const get = (path: string, token?: string): Promise<Response> =>
    fetch(`${labUrl}${path}`, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } })

  await t.test('whoever lists its CIDs in a tree of his own is given and told nothing of them', async () => {
    const sign = (sequence: number, previous: Cid | null, { snapshot: of }: typeof bait) =>
      mesh.mesh.sign(mesh.site('mallory').key, 'head', {
        ...{ tree: BAIT, epoch: 1, sequence, previous, snapshot: of, counts: {} },
      })
    const head = sign(1, null, bait)
    await submit(head)
    const { index } = decodeSnapshot(
      bait.snapshot,
      bait.objects.find(({ cid }) => cid.equals(bait.snapshot))!.bytes,
    )
    // The lab has the listed block, in `secret/plans`. It fetches all else of the bait.
    const { told } = await watch(BAIT, bait.snapshot)
    await until('the lab has what it can get', async () => (await block(BAIT, index, 1)) !== undefined)
    assert.equal(await block(BAIT, index, 0), undefined, 'the private block by its position in the bait')
    assert.equal(await object(BAIT, chunk), undefined, 'and by its CID')
    assert.equal(await object(BAIT, secret), undefined)
    for (const { type, body } of told) {
      assert.ok(type === UNKNOWN || type === 0x83 || type === 0x84, 'it is not called complete')
      if (type === 0x83) assert.equal(body.readUInt16BE(0), 0, 'no page is full')
      if (type !== 0x84) continue
      for (let run = 0; run < body.readUInt16BE(4); run++) assert.ok(body.readUInt32BE(6 + 8 * run) > 0)
    }
    assert.equal((await replica(lab, BAIT, 'lab'))?.sequence, null)
    const answer = await get(`/${BAIT}/plan`)
    assert.notEqual(answer.status, 200)
    assert.ok(!(await answer.text()).includes('only readers'))
    // With the bytes it is a tree like any other: they prove that there is nothing to hide.
    hasBytes = true
    await submit(sign(2, head.id, honest))
    await isComplete(BAIT)
    assert.deepEqual(Buffer.from(await (await get(`/${BAIT}/real`)).arrayBuffer()), SECRET_BYTES)
  })

  await t.test('the gateway gives it to those who show a token, until that is revoked', async () => {
    assert.equal((await get(`/${SECRET}/plan`)).status, 401)
    assert.ok(!(await (await get('/')).text()).includes('secret'))
    const home = ['--home', lab.home]
    const token = (await succeed(['token', 'create', '--tree', SECRET, '--name', 'ci', ...home])).trim()
    assert.deepEqual(Buffer.from(await (await get(`/${SECRET}/plan`, token)).arrayBuffer()), SECRET_BYTES)
    assert.equal((await get('/secret/big/x', token)).status, 404)
    // Its snapshot by CID: not as everybody's, not by another tree, and by its own with the token alone.
    for (const address of [`/_mesh/object?cid=${snapshot}`, `/ipfs/${snapshot}?format=raw`]) {
      const at = async (tree: string, as?: string): Promise<number> =>
        (await get(`${address}&tree=${tree}`, as)).status
      assert.equal(await at(BAIT), 404, address)
      assert.equal(await at(BAIT, token), 404, address)
      assert.equal(await at(SECRET), 401, address)
      assert.equal(await at(SECRET, token), 200, address)
    }
    assert.equal((await get(`/ipfs/${snapshot}?format=raw`)).status, 404)
    const { tokens } = await succeedJson<{ tokens: Token[] }>(['token', 'list', ...home])
    assert.deepEqual(
      tokens.map(({ name }) => name),
      ['ci'],
    )
    await succeed(['token', 'revoke', tokens[0]!.id.slice(0, 6), ...home])
    assert.equal((await get(`/${SECRET}/plan`, token)).status, 401)
  })

  await t.test('over the network its content is for tokens that may operate the node', async () => {
    const { api } = await apiOf(lab).get<SelfDocument>('/api/v1/self')
    const at = async (route: string, token: string): Promise<number> => {
      const headers = { authorization: `Bearer ${token}` }
      return (await fetch(new URL(`/api/v1/trees/${route}`, api!), { headers })).status
    }
    const make = async (scope: string): Promise<string> =>
      (await succeed(['token', 'create', '--scope', scope, '--name', scope, '--home', lab.home])).trim()
    const [reads, operates] = [await make('read'), await make('operate')]
    const name = encodeURIComponent(SECRET)
    assert.equal(await at(name, reads), 200, 'that it exists')
    for (const route of ['entries', 'file?path=plan', 'resolve?path=plan', 'diff']) {
      assert.equal(await at(`${name}/${route}`, reads), 403, route)
      assert.equal(await at(`${name}/${route}`, operates), 200, route)
    }
    assert.equal(await at(`${BAIT}/diff?toTree=${name}`, reads), 403)
    assert.equal(await at(`${BAIT}/diff-bytes?toTree=${name}`, reads), 403, 'what it has in common')
    assert.equal(await at(`${name}/diff-bytes?toTree=${BAIT}`, reads), 403)
    assert.equal(await at(`${name}/takedown?path=plan`, reads), 403, 'whether it has that path')
    assert.equal(await at(`${name}/takedown?path=plan`, operates), 200)
    assert.equal(await at(`${BAIT}/file?path=real`, reads), 200)
    const planned = async (tree: string, token: string, paths?: object): Promise<number> => {
      const body = JSON.stringify({ tree, sites: { all: true }, removed: false, ...(paths && { paths }) })
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
      return (await fetch(new URL('/api/v1/pins/plan', api!), { method: 'POST', headers, body })).status
    }
    const guess = { include: ['plan'], exclude: [] }
    assert.equal(await planned(SECRET, reads, guess), 403, 'how large what it has at a path is')
    assert.equal(await planned('**', reads, guess), 403, 'nor among others')
    assert.equal(await planned(SECRET, operates, guess), 200)
    assert.equal(await planned(SECRET, reads), 200, 'its size is known to all')
  })

  await t.test(
    'what its readers have of it is not sent again for another tree of the same readers',
    async () => {
      const sent = (await hq.status()).traffic.blocksSent
      await succeed(['publish', source, '--home', hq.home, '--tree', 'secret/copy'])
      await isComplete('secret/copy')
      assert.equal((await hq.status()).traffic.blocksSent, sent)
    },
  )

  await t.test(
    'a grant that is taken back in mid-fetch ends it, and given again the fetch goes on',
    async () => {
      const big = join(dir, 'big')
      await mkdir(big)
      await writeFile(join(big, 'x'), randomFillSync(Buffer.allocUnsafe(BIG_BYTES)))
      await submit(
        mesh.mesh.sign(mesh.mesh.admin, 'pin', {
          name: 'big',
          tree: 'secret/big',
          sites: { site: 'lab' },
          version: 1,
          removed: false,
        }),
      )
      await succeedJson<PublishAnswer>(['publish', big, '--home', hq.home, '--tree', 'secret/big'])
      const held = async (): Promise<number> =>
        (
          await apiOf(lab).get<{ fetches: { tree: string; heldBytes: number }[] }>('/api/v1/fetches')
        ).fetches.find(({ tree }) => tree === 'secret/big')?.heldBytes ?? 0
      await until('the fetch is under way', async () => (await held()) > 1_000_000)
      await submit(mesh.mesh.reader(labSite.key, ['secret/plans'], 2))
      const stopped = await until('the lab has lost the right', async () => {
        const found = await replica(lab, 'secret/big', 'lab')
        return found?.reason?.startsWith('no right') === true ? found : undefined
      })
      assert.notEqual(stopped.state, 'complete')
      assert.equal(await held(), 0, 'nothing is fetched')
      const sent = async (): Promise<number> => (await hq.status()).traffic.blocksSent
      await until('the last answers are out', async () => {
        const before = await sent()
        await new Promise((resolve) => setImmediate(resolve))
        return (await sent()) === before
      })
      assert.ok((await sent()) * 40_000 < BIG_BYTES, 'it did not get the rest')
      assert.equal((await replica(lab, SECRET, 'lab'))?.state, 'complete', 'the other grant still counts')
      await submit(mesh.mesh.reader(labSite.key, ['secret/*'], 3))
      await isComplete('secret/big')
    },
  )

  await t.test('a tree that becomes private is closed to those who read it a moment ago', async () => {
    for (let i = 0; i < 2; i++)
      assert.deepEqual(Buffer.from(await (await get(`/${BAIT}/real`)).arrayBuffer()), SECRET_BYTES)
    await succeed(['tree', 'set', BAIT, '--private', '--home', hq.home])
    await until('the lab has heard of it', async () => (await get(`/${BAIT}/real`)).status === 401)
    for (const path of ['@2/real', '@head/real', ''])
      assert.equal((await get(`/${BAIT}/${path}`)).status, 401)
  })
})
