/** Files that lie in their directories are given as the same files in chunks are, in whole, in ranges, in archives and in listings. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { orderRows, parseOrder } from '../../node/gateway/folder-order.ts'
import type { Gateway } from '../../node/gateway/gateway.ts'
import type { ListingRow } from '../../node/gateway/listing-row.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { inlineFile } from '../dag/samples.ts'
import { noise } from '../tree/trees.ts'
import { type AskOptions, askGateway } from './gateway-client.ts'
import { createTestMesh, type Node } from './gateway-mesh.ts'

const SIZES = [0, 1, 999, 4095, 4096, 4097]
const mesh = await createTestMesh()
let gateway: Gateway
const ask = (path: string, options?: AskOptions) => askGateway(gateway, path, options)

const inline = (bytes: Uint8Array): Node => {
  if (bytes.length === 0 || bytes.length > 4096) return bytes
  const metadata: object = { inline: bytes, content: cidOf(RAW, bytes) }
  return { bytes, metadata }
}

before(async () => {
  const files = SIZES.map((size) => [`f${size}`, noise(size, size + 1)] as const)
  await mesh.publish('chunked', files)
  await mesh.publish(
    'inline',
    files.map(([name, bytes]) => [name, inline(bytes)] as const),
  )
  gateway = await mesh.start()
})
after(() => gateway.stop(0))

test('bodies, ranges and conditions are the same', async () => {
  for (const size of SIZES) {
    const bytes = noise(size, size + 1)
    for (const range of [
      undefined,
      'bytes=0-0',
      'bytes=-1',
      `bytes=${size}-`,
      'bytes=1-3,5-9,0-0',
      `bytes=${Math.max(0, size - 2)}-${size + 100}`,
    ]) {
      const options = range === undefined ? {} : { headers: { range } }
      const [one, other] = [await ask(`/chunked/f${size}`, options), await ask(`/inline/f${size}`, options)]
      assert.deepEqual(
        [other.status, other.headers['content-range'], other.headers['content-length']],
        [one.status, one.headers['content-range'], one.headers['content-length']],
        `${size} ${range}`,
      )
      const boundary = /boundary=(\S+)/
      const plain = ({ body, headers }: typeof one): string =>
        body.toString('latin1').replaceAll(boundary.exec(headers['content-type'] ?? '')?.[1] ?? '\0', '')
      assert.equal(plain(other), plain(one), `${size} ${range}`)
      if (range === undefined) assert.deepEqual(Buffer.from(other.body), bytes)
    }
    const whole = await ask(`/inline/f${size}`)
    if (size <= 4096) assert.equal(whole.headers.etag, `"${cidOf(RAW, bytes).toString()}"`)
    const again = await ask(`/inline/f${size}`, { headers: { 'if-none-match': whole.headers.etag } })
    assert.deepEqual([again.status, again.body.length], [304, 0])
    const head = await ask(`/inline/f${size}`, { method: 'HEAD' })
    assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, `${size}`, 0])
  }
})

test('archives and listings are the same', async () => {
  const tar = async (tree: string) => {
    const { status, body } = await ask(`/${tree}/?format=tar`)
    assert.equal(status, 200)
    return body
  }
  const [one, other] = [await tar('chunked'), await tar('inline')]
  assert.deepEqual(other, one)
  interface Row {
    readonly name: string
    readonly sizeBytes: number
  }
  const list = async (tree: string) => {
    const { body } = await ask(`/${tree}/?format=json&sort=size`)
    const { entries } = JSON.parse(body.toString()) as { entries: Row[] }
    return entries.map(({ name, sizeBytes }) => [name, sizeBytes])
  }
  assert.deepEqual(await list('inline'), await list('chunked'))
})

test('a listing that is sorted in memory holds no contents', async () => {
  const rows: ListingRow[] = [inlineFile('a', noise(4096)), inlineFile('b', noise(10))]
  using sorted = await orderRows(() => rows, parseOrder(new URLSearchParams('sort=size')))
  for await (const row of sorted.rows) assert.ok(!('inline' in row))
})
