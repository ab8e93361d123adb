import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { lstat, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { CarReader } from '@ipld/car'
import { chooseCoding } from '../../node/gateway/content-coding.ts'
import { MAX_SORTED, orderRows, parseOrder } from '../../node/gateway/folder-order.ts'
import type { Gateway } from '../../node/gateway/gateway.ts'
import type { ListingRow } from '../../node/gateway/listing-row.ts'
import { tarOf } from '../../node/gateway/tar.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { type Cid, checkCid, cidOf, DAG_CBOR, RAW, verifyBlock } from '../../src/block/cid.ts'
import { type AskOptions, askGateway } from './gateway-client.ts'
import { chunkAt, createTestMesh, MTIME_SEC } from './gateway-mesh.ts'
import { tempDir } from './temp-dir.ts'

const run = promisify(execFile)
const big = Uint8Array.from({ length: 5000 }, (_, i) => (i * 13) & 0xff)
const group = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
const longName = 'n'.repeat(240)
const deep = ['d'.repeat(200), 'e'.repeat(120), 'f'.repeat(99)] as const
const mesh = await createTestMesh()
let gateway: Gateway
const ask = (path: string, options?: AskOptions) => askGateway(gateway, path, options)

const metadata = { mode: 0o755, mtimeSec: 0, mtimeNsec: 0, uid: 0, gid: 0 }

async function readCar(path: string, at = gateway) {
  const reader = await CarReader.fromBytes((await askGateway(at, path)).body)
  const [root] = await reader.getRoots()
  const cids: Cid[] = []
  const blocks = new Map<string, Uint8Array>()
  for await (const { cid, bytes } of reader.blocks()) {
    cids.push(checkCid(cid))
    blocks.set(cid.toString(), bytes)
  }
  return { root: checkCid(root), cids, blocks }
}

before(async () => {
  await mesh.publish('t', [
    [
      'dir',
      [
        ['big', big],
        ['empty', new Uint8Array(0)],
        ['exact', new Uint8Array(1024).fill(7)],
        ['first', { bytes: utf8('linked'), metadata: { link: group } }],
        ['second', { bytes: utf8('linked'), metadata: { link: group } }],
        ['link', { to: 'big' }],
        ['long-link', { to: 'x/'.repeat(100) }],
        [longName, utf8('a long name')],
        ['old', { bytes: utf8('old'), metadata: { mtimeSec: -2, mtimeNsec: 250_000_000, mode: 0o4755 } }],
        ['pipe', { special: 'fifo' }],
        ['sock', { special: 'socket' }],
        [deep[0], [[deep[1], [[deep[2], utf8('deep')]]]]],
        [Uint8Array.of(0xff, 0xfe, 0x0a), utf8('raw')],
      ],
    ],
  ])
  gateway = await mesh.start()
})
after(() => gateway.stop(0))

test('a folder as tar unpacks to what it is: names, links, modes and times', async (t) => {
  const dir = await tempDir(t)
  const answer = await ask('/t/dir/?format=tar')
  assert.equal(answer.status, 200)
  assert.equal(answer.headers['content-type'], 'application/x-tar')
  assert.equal(answer.headers['content-disposition'], 'attachment; filename="t_1_dir.tar"')
  assert.equal(answer.headers['accept-ranges'], 'none')
  await writeFile(join(dir, 'a.tar'), answer.body)
  const out = join(dir, 'out')
  await mkdir(out)
  await run('tar', ['-xpf', join(dir, 'a.tar'), '-C', out])
  const read = (name: string | Buffer): Promise<Buffer> =>
    readFile(Buffer.concat([Buffer.from(`${out}/`), Buffer.from(name)]))
  assert.deepEqual(new Uint8Array(await read('big')), big)
  assert.equal((await read('empty')).length, 0)
  assert.equal((await read('exact')).length, 1024)
  assert.equal((await read(longName)).toString(), 'a long name')
  assert.equal((await read(Buffer.from([0xff, 0xfe, 0x0a]))).toString(), 'raw')
  assert.equal((await read(deep.join('/'))).toString(), 'deep')
  assert.equal(await readlink(join(out, 'link')), 'big')
  assert.equal(await readlink(join(out, 'long-link')), 'x/'.repeat(100))
  const [first, second] = [await lstat(join(out, 'first')), await lstat(join(out, 'second'))]
  assert.equal(first.ino, second.ino)
  assert.equal((await lstat(join(out, 'big'))).mtimeMs, MTIME_SEC * 1000 + 0.000005)
  const old = await lstat(join(out, 'old'))
  assert.equal(old.mtimeMs, -1750)
  assert.equal(old.mode & 0o7777, 0o4755)
  assert.ok((await lstat(join(out, 'pipe'))).isFIFO())
  const names = await readdir(out, { encoding: 'buffer' })
  assert.equal(names.length, 12, 'all but the socket')
})

test('other readers of tar see the same names', async (t) => {
  const file = join(await tempDir(t), 'a.tar')
  await writeFile(file, (await ask('/t/dir/?format=tar')).body)
  const { stdout } = await run('python3', [
    '-c',
    'import sys,tarfile\nfor m in tarfile.open(sys.argv[1]): print(m.name.encode("utf8","surrogateescape").hex(), m.type.decode(), m.size)',
    file,
  ])
  const lines = stdout.trim().split('\n')
  assert.equal(lines.length, 14)
  assert.ok(lines.includes(`${Buffer.from(deep.join('/')).toString('hex')} 0 4`))
  assert.ok(lines.includes('fffe0a 0 3'))
})

test('tar and CAR have the tag of the folder, whatever its address, and a HEAD has no body', async () => {
  for (const format of ['tar', 'car']) {
    const head = await ask(`/t/dir/?format=${format}`, { method: 'HEAD' })
    assert.equal(head.status, 200)
    assert.equal(head.body.length, 0)
    const etag = String(head.headers.etag)
    const again = await ask(`/t/@1/dir/?format=${format}`, { headers: { 'if-none-match': etag } })
    assert.equal(again.status, 304)
    const redirect = await ask(`/t/dir?format=${format}`)
    assert.equal(redirect.headers.location, `/t/dir/?format=${format}`)
  }
})

test('a folder as CAR holds every block once, the root first, and all of them are what they are called', async () => {
  const answer = await ask('/t/dir/?format=car')
  assert.match(String(answer.headers['content-type']), /^application\/vnd\.ipld\.car; version=1/)
  const { root, cids, blocks } = await readCar('/t/dir/?format=car')
  assert.equal(`"${root.toString()}.car"`, answer.headers.etag)
  assert.equal(cids[0]?.toString(), root.toString())
  assert.equal(blocks.size, cids.length)
  for (const cid of cids) verifyBlock(cid, blocks.get(cid.toString())!)
  for (let at = 0; at < big.length; at += 1000) assert.ok(blocks.has(chunkAt(big, at).toString()))
  assert.ok(blocks.has(cidOf(RAW, utf8('raw')).toString()))
})

test('an archive of a folder that has more entries than its snapshot counts breaks off', async () => {
  const { root, blocks } = await readCar('/t/dir/?format=car')
  const folder = { type: 'directory', name: utf8('dir'), directory: root, ...metadata } as const
  const readFile = (): AsyncIterable<Uint8Array> => ReadableStream.from<Uint8Array>([])
  const pieces = tarOf({ blocks: { get: async (cid) => blocks.get(cid.toString()) }, readFile }, folder, {
    hasHoles: true,
    maxEntries: 3,
    signal: new AbortController().signal,
  })
  await assert.rejects(Array.fromAsync(pieces), /more entries than its snapshot/)
})

test('the coding of a listing is the best that the client takes', () => {
  assert.equal(chooseCoding(undefined), 'identity')
  assert.equal(chooseCoding(''), 'identity')
  assert.equal(chooseCoding('gzip, deflate, br, zstd'), 'zstd')
  assert.equal(chooseCoding('gzip, deflate'), 'gzip')
  assert.equal(chooseCoding('zstd;q=0.5, gzip;q=0.8'), 'gzip')
  assert.equal(chooseCoding('gzip;q=0, zstd;q=0'), 'identity')
  assert.equal(chooseCoding('*'), 'zstd')
  assert.equal(chooseCoding('*;q=0'), 'identity')
  assert.equal(chooseCoding('gzip;q=0.2, identity;q=0.9'), 'identity')
  assert.equal(chooseCoding('br, gzip;q=nonsense'), 'identity')
})

test('listings travel compressed, each form with a tag of its own', async () => {
  const plain = await ask('/t/dir/')
  const tags = new Set([plain.headers.etag])
  for (const [coding, decode] of [
    ['gzip', gunzipSync],
    ['zstd', zstdDecompressSync],
  ] as const) {
    const answer = await ask('/t/dir/', { headers: { 'accept-encoding': coding } })
    assert.equal(answer.headers['content-encoding'], coding)
    assert.match(String(answer.headers.vary), /accept-encoding/)
    assert.deepEqual(decode(answer.body), plain.body)
    tags.add(answer.headers.etag)
    const file = await ask('/t/dir/big', { headers: { 'accept-encoding': coding } })
    assert.equal(file.headers['content-encoding'], undefined)
  }
  assert.equal(tags.size, 3)
})

test('a listing that cannot be read is an error in plain text, whatever the coding', async () => {
  const own = await createTestMesh()
  await own.publish('t', [['sub', [['x', utf8('x')]]]])
  const at = await own.start()
  try {
    const folder = await askGateway(at, '/t/sub/?format=json')
    own.remove((await readCar('/t/sub/?format=car', at)).root)
    assert.equal(folder.status, 200)
    for (const query of ['', '?format=tar', '?format=car']) {
      const answer = await askGateway(at, `/t/sub/${query}`, { headers: { 'accept-encoding': 'gzip' } })
      assert.equal(answer.status, 503, query)
      assert.equal(answer.headers['content-encoding'], undefined)
      assert.equal(answer.headers['content-disposition'], undefined)
      assert.equal(JSON.parse(answer.body.toString()).code, 'degraded')
    }
  } finally {
    await at.stop(0)
  }
})

test('a listing is sorted by the query, and its headings lead to the other orders', async () => {
  const names = async (query: string): Promise<string[]> =>
    JSON.parse((await ask(`/t/dir/?format=json&${query}`)).body.toString()).entries.map(
      ({ name }: { name: string }) => name,
    )
  const byName = await names('')
  assert.deepEqual(await names('sort=name&order=desc'), byName.toReversed())
  assert.equal((await names('sort=size'))[0], 'big')
  assert.equal((await names('sort=size&order=asc')).at(-1), 'big')
  assert.equal((await names('sort=time')).at(-1), 'old')
  assert.deepEqual(await names('sort=nonsense&order=nonsense'), byName)
  const page = (await ask('/t/dir/?sort=size')).body.toString()
  assert.match(page, /aria-sort="descending"><a rel="nofollow" href="\?sort=size&amp;order=asc">/)
  assert.match(page, /<a rel="nofollow" href="\?sort=time&amp;order=desc">/)
})

test('a folder too large to be sorted stays in the order of names, and says so', async () => {
  const rows: ListingRow[] = Array.from({ length: 5 }, (_, i) => ({ type: 'folder', name: utf8(`f${i}`) }))
  const order = parseOrder(new URLSearchParams('sort=name&order=desc'))
  using small = await orderRows(() => rows, order, 5)
  assert.equal(small.isSorted, true)
  assert.deepEqual([...(small.rows as ListingRow[])][0], rows[4])
  using large = await orderRows(() => rows, order, 4)
  assert.equal(large.isSorted, false)
  assert.deepEqual(large.rows, rows)
})

test('sorting is for some clients at a time; when they are gone it is there again', async () => {
  const order = parseOrder(new URLSearchParams('sort=size'))
  const rows: ListingRow[] = [{ type: 'folder', name: utf8('f') }]
  const held = await Promise.all(Array.from({ length: 16 }, () => orderRows(() => rows, order)))
  assert.ok(held.every(({ isSorted }) => isSorted))
  assert.equal((await orderRows(() => rows, order)).isSorted, false)
  for (const each of held) each[Symbol.dispose]()
  using again = await orderRows(() => rows, order, MAX_SORTED)
  assert.equal(again.isSorted, true)
  const broken = function* (): Generator<ListingRow> {
    yield rows[0]!
    throw new Error('unreadable')
  }
  for (let i = 0; i < 20; i++) await assert.rejects(orderRows(broken, order), /unreadable/)
})

/** Ten megabytes as JSON, more than the buffers of a socket take. */
async function largeFolder() {
  const own = await createTestMesh()
  const nameOf = (i: number): string => String(i).padStart(230, 'n')
  await own.publish(
    't',
    Array.from({ length: 15_000 }, (_, i) => [nameOf(i), utf8('x')] as const),
  )
  return own
}

test('a large listing is compressed piece by piece, and one that breaks off breaks the connection', async () => {
  const own = await largeFolder()
  const at = await own.start()
  const warnings: string[] = []
  const onWarning = ({ message }: Error): number => warnings.push(message)
  process.on('warning', onWarning)
  try {
    const plain = await askGateway(at, '/t/?format=json')
    for (const [coding, decode] of [
      ['gzip', gunzipSync],
      ['zstd', zstdDecompressSync],
    ] as const) {
      const answer = await askGateway(at, '/t/?format=json', { headers: { 'accept-encoding': coding } })
      assert.ok(decode(answer.body).equals(plain.body))
    }
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(warnings, [])
    const { cids, blocks } = await readCar('/t/?format=car', at)
    own.remove(
      cids.filter((cid) => cid.code === DAG_CBOR && blocks.get(cid.toString())!.length > 1000).at(-1)!,
    )
    for (const coding of ['gzip', 'zstd', 'identity']) {
      const broken = askGateway(at, '/t/?format=json', { headers: { 'accept-encoding': coding } })
      await assert.rejects(broken, /aborted|hang up|ECONNRESET/, coding)
    }
  } finally {
    process.off('warning', onWarning)
    await at.stop(0)
  }
})

test('a client that stops reading a large listing holds up the reading of the folder', async () => {
  const own = await largeFolder()
  const at = await own.start()
  try {
    const [host, port] = at.address().split(':')
    const socket = net.connect(Number(port), host)
    await once(socket, 'connect')
    socket.write('GET /t/?format=json HTTP/1.1\r\nhost: x\r\n\r\n')
    await once(socket, 'readable')
    const reads = await settled(() => own.reads())
    const answer = await askGateway(at, '/t/?format=json')
    assert.equal(JSON.parse(answer.body.toString()).entries.length, 15_000)
    const all = own.reads() - reads
    assert.ok(
      reads < 0.8 * all,
      `${reads} nodes were read for a client that took nothing, ${all} for one that took all`,
    )
    socket.destroy()
  } finally {
    await at.stop(0)
  }
})

/** The value once it has not changed for a number of turns of the event loop. */
async function settled(read: () => number): Promise<number> {
  for (let same = 0, last = read(); ; last = read()) {
    await new Promise((resolve) => setImmediate(resolve))
    same = read() === last ? same + 1 : 0
    if (same === 500) return last
  }
}
