import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { trustlessGateway } from '@helia/block-brokers'
import { CarReader } from '@ipld/car'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import type { Gateway } from '../../node/gateway/gateway.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { type Cid, checkCid, cidOf, RAW, verifyBlock } from '../../src/block/cid.ts'
import { type AskOptions, askGateway } from './gateway-client.ts'
import { createTestMesh } from './gateway-mesh.ts'

const big = Uint8Array.from({ length: 5000 }, (_, i) => (i * 13) & 0xff)
const mesh = await createTestMesh()
let gateway: Gateway
let root: Cid
let file: Cid
let chunk: Cid
const ask = (path: string, options?: AskOptions) => askGateway(gateway, path, options)

before(async () => {
  await mesh.publish('t', [
    [
      'dir',
      [
        ['big', big],
        ['small', utf8('small')],
      ],
    ],
  ])
  gateway = await mesh.start()
  const { entries } = JSON.parse((await ask('/t/?format=json')).body.toString())
  const inner = JSON.parse((await ask('/t/dir/?format=json')).body.toString())
  root = checkCid(CID.parse(entries[0].cid))
  file = checkCid(CID.parse(inner.entries[0].cid))
  chunk = cidOf(RAW, utf8('small'))
})
after(() => gateway.stop(0))

test('a block is there by its CID, with the headers that the specification asks for', async () => {
  for (const [path, headers] of [
    [`/ipfs/${chunk}?format=raw`, {}],
    [`/ipfs/${chunk}`, { accept: 'application/vnd.ipld.raw' }],
    [`/ipfs/${chunk}?format=raw`, { accept: 'application/vnd.ipld.car' }],
  ] as const) {
    const answer = await ask(path, { headers })
    assert.equal(answer.status, 200)
    assert.equal(answer.body.toString(), 'small')
    assert.equal(answer.headers['content-type'], 'application/vnd.ipld.raw')
    assert.equal(answer.headers['content-disposition'], `attachment; filename="${chunk}.bin"`)
    assert.equal(answer.headers['x-content-type-options'], 'nosniff')
    assert.equal(answer.headers['cache-control'], 'public, max-age=29030400, immutable')
    assert.equal(answer.headers.etag, `"${chunk}.raw"`)
    assert.equal(answer.headers['x-ipfs-roots'], chunk.toString())
    assert.equal(answer.headers['access-control-allow-origin'], '*')
  }
  const head = await ask(`/ipfs/${chunk}?format=raw`, { method: 'HEAD' })
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, '5', 0])
  const again = await ask(`/ipfs/${chunk}?format=raw`, { headers: { 'if-none-match': `"${chunk}.raw"` } })
  assert.equal(again.status, 304)
})

test('a CAR has the root alone, or all that is below it', async () => {
  const blocksOf = async (query: string, headers = {}): Promise<Cid[]> => {
    const answer = await ask(`/ipfs/${root}?${query}`, { headers })
    assert.equal(answer.headers['content-type'], 'application/vnd.ipld.car; version=1; order=dfs; dups=n')
    assert.equal(answer.headers['content-disposition'], `attachment; filename="${root}.car"`)
    const reader = await CarReader.fromBytes(answer.body)
    assert.deepEqual(
      (await reader.getRoots()).map((cid) => cid.toString()),
      [root.toString()],
    )
    const cids: Cid[] = []
    for await (const { cid, bytes } of reader.blocks()) {
      verifyBlock(checkCid(cid), bytes)
      cids.push(checkCid(cid))
    }
    return cids
  }
  // The folder, the file's node and its five chunks, the small file.
  assert.equal((await blocksOf('format=car')).length, 8)
  assert.equal(
    (await blocksOf('', { accept: 'application/vnd.ipld.car; version=1; order=dfs; dups=y' })).length,
    8,
  )
  assert.equal((await blocksOf('format=car&dag-scope=all')).length, 8)
  assert.equal((await blocksOf('format=car&dag-scope=block')).length, 1)
  assert.equal((await blocksOf('format=car&dag-scope=entity')).length, 1)
})

test("Helia's block retrieval reads it, with a BLAKE3 hasher, and refuses a block that is another", async () => {
  const [host, port] = gateway.address().split(':')
  const say = Object.assign(() => undefined, {
    error: () => undefined,
    trace: () => undefined,
    enabled: false,
    newScope: () => say,
  })
  const provider = { multiaddrs: [multiaddr(`/ip4/${host}/tcp/${port}/http`)], routing: 'given' }
  const routing = {
    async *findProviders() {
      yield provider
    },
  }
  type Components = Parameters<ReturnType<typeof trustlessGateway>>[0]
  const broker = trustlessGateway({ allowInsecure: true, allowLocal: true })({
    routing,
    logger: { forComponent: () => say },
  } as unknown as Components)
  const retrieve = (cid: Cid, hasher: (bytes: Uint8Array) => void) =>
    broker.retrieve!(cid, { validateFn: async (bytes) => hasher(bytes) })
  for (const cid of [root, file, chunk]) {
    verifyBlock(cid, await retrieve(cid, (bytes) => verifyBlock(cid, bytes)))
  }
  await assert.rejects(
    retrieve(chunk, (bytes) => verifyBlock(root, bytes)),
    /Unable to fetch raw block/,
  )
  await assert.rejects(
    retrieve(cidOf(RAW, utf8('nowhere')), () => undefined),
    /Unable to fetch raw block/,
  )
})

test('bad addresses are refused in words, and an identity CID answers those who look whether this is a gateway', async () => {
  const sha2 = 'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'
  for (const [path, status] of [
    [`/ipfs/${chunk}`, 400],
    [`/ipfs/${chunk}?format=json`, 400],
    [`/ipfs/${root}?format=car&dag-scope=some`, 400],
    [`/ipfs/${root}?format=car&car-version=2`, 400],
    [`/ipfs/${root}/big?format=car`, 400],
    ['/ipfs/nonsense?format=raw', 400],
    [`/ipfs/${sha2}?format=raw`, 404],
    [`/ipfs/${cidOf(RAW, utf8('nowhere'))}?format=raw`, 404],
    [`/ipfs/${cidOf(RAW, utf8('nowhere'))}?format=car`, 404],
    [`/ipfs/${chunk}?format=raw&tree=no/such`, 404],
    ['/ipfs/', 404],
  ] as const) {
    const answer = await ask(path)
    assert.equal(answer.status, status, path)
    assert.equal(answer.headers['cache-control'], 'no-store', path)
    assert.equal(answer.headers['content-disposition'], undefined)
  }
  const probe = await ask('/ipfs/bafkqaaa?format=raw')
  assert.deepEqual([probe.status, probe.body.length], [200, 0])
})

test('where blocks of private trees cannot be told apart, none is given', async () => {
  const asked: (string | undefined)[] = []
  const at = await mesh.start(
    {},
    {
      blocksFor(tree) {
        asked.push(tree)
        return undefined
      },
    },
  )
  try {
    for (const query of ['', '&tree=t']) {
      assert.equal((await askGateway(at, `/ipfs/${chunk}?format=raw${query}`)).status, 501)
    }
    assert.deepEqual(asked, [undefined, 't'])
  } finally {
    await at.stop(0)
  }
})

test('a tree called ipfs goes before', async () => {
  const own = await createTestMesh()
  await own.publish('ipfs', [['f', utf8('mine')]])
  const at = await own.start()
  try {
    assert.equal((await askGateway(at, '/ipfs/f')).body.toString(), 'mine')
  } finally {
    await at.stop(0)
  }
})

test('a collection takes nothing of an archive that is being sent, whichever of the two began first', async () => {
  for (const isLate of [false, true]) {
    const own = await createTestMesh()
    await own.publish('t', [
      ['big', big],
      ['dir', [['small', utf8('small')]]],
    ])
    let onRead = async (): Promise<void> => undefined
    let reads = 0
    const at = await own.start(
      {},
      {
        blocksFor: () => ({
          async get(cid, signal) {
            // The archive has begun, and has more to come. Late, six reads look through it first.
            if (++reads === (isLate ? 9 : 4)) await onRead()
            return own.blocks.get(cid, signal)
          },
          has: own.blocks.has,
        }),
      },
    )
    try {
      const snapshot = (await askGateway(at, '/t/', { method: 'HEAD' })).headers['x-mirrormesh-snapshot']
      const [chosen, asked] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      let collected: Promise<unknown> | undefined
      if (isLate) {
        collected = own.collect(async () => {
          chosen.resolve()
          await asked.promise
        })
        await chosen.promise
        own.unhold()
      }
      onRead = async () => {
        asked.resolve()
        await (collected ?? own.collect())
      }
      const archive = await askGateway(at, `/ipfs/${snapshot}?format=car`)
      const cids: string[] = []
      for await (const { cid } of (await CarReader.fromBytes(archive.body)).blocks())
        cids.push(cid.toString())
      // Snapshot, index, two folders, the file's node, five chunks, the small file.
      assert.equal(cids.length, 11)
      await own.collect()
      assert.equal(
        (await askGateway(at, `/ipfs/${snapshot}?format=car`)).status,
        404,
        'nobody held it any more',
      )
    } finally {
      await at.stop(0)
    }
  }
})
