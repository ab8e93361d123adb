/** A site that keeps nothing of a tree serves it all the same, out of the mesh: real processes on loopback. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Daemon, freePort, startDaemon, succeed, until } from './program.ts'
import { signMesh } from './signed-mesh.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/x'
const LARGE_BYTES = 6_000_000
const FILES = 1500

test('what a site does not hold is fetched from the mesh while it is served', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const source = join(dir, 'source')
  const large = randomFillSync(Buffer.allocUnsafe(LARGE_BYTES))
  const smallOf = (i: number): Buffer => Buffer.from(`small file ${i}\n`)
  await mkdir(join(source, 'many'), { recursive: true })
  await writeFile(join(source, 'large'), large)
  // More than lies in a directory.
  await writeFile(join(source, 'unread'), large.subarray(0, 5000))
  for (let i = 0; i < FILES; i++) await writeFile(join(source, `many/${i}`), smallOf(i))
  const mesh = await signMesh(dir, { regions: { hq: 'us', lab: 'eu' }, tree: TREE, pinned: [] })
  const http = { hq: await freePort(), lab: await freePort() }
  const start = (site: 'hq' | 'lab', env: Record<string, string> = {}): Promise<Daemon> =>
    startDaemon(t, mesh.site(site).home, { MIRRORMESH_HTTP: `127.0.0.1:${http[site]}`, ...env })
  const hq = await start('hq')
  await succeed(['publish', source, '--home', hq.home, '--tree', TREE])
  let lab = await start('lab')

  const ask = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`http://127.0.0.1:${http.lab}/${TREE}/${path}`, { headers })
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${http.lab}/metrics`)).text()
    return Number(new RegExp(`^mirrormesh_gateway_pull_${name} (\\d+)$`, 'm').exec(text)?.[1])
  }

  await t.test(
    'of a range only its blocks are fetched, and what is served says that it is not complete here',
    async () => {
      const answer = await until('the lab knows the head and has a peer', async () => {
        const found = await ask('@head/large', { range: 'bytes=3000000-3000099' })
        return found.status === 206 && found
      })
      assert.equal(answer.headers.get('x-mirrormesh-complete'), 'false')
      assert.deepEqual(Buffer.from(await answer.arrayBuffer()), large.subarray(3_000_000, 3_000_100))
      assert.ok((await metric('fetched_bytes')) < 1_500_000, `${await metric('fetched_bytes')} bytes`)
    },
  )

  await t.test('an address without a version leads to the newest head, and folders are listed', async () => {
    const listing = await ask('many/?format=json', { accept: 'application/json' })
    assert.equal(listing.status, 200)
    const { entries } = (await listing.json()) as { entries: { name: string }[] }
    assert.equal(entries.length, FILES)
    for (const i of [0, 777, FILES - 1])
      assert.equal(await (await ask(`many/${i}`)).text(), smallOf(i).toString())
    assert.equal((await ask('many/none')).status, 404)
  })

  await t.test('many clients that ask for the same cause one fetch', async () => {
    const before = await metric('fetched_bytes')
    const bodies = await Promise.all(
      Array.from({ length: 12 }, async () => Buffer.from(await (await ask('large')).arrayBuffer())),
    )
    for (const body of bodies) assert.ok(body.equals(large))
    assert.ok((await metric('fetched_bytes')) - before <= LARGE_BYTES)
    assert.equal(await metric('failures'), 0)
  })

  await t.test('it is not called complete, and what is kept survives kill -9 without the mesh', async () => {
    const { trees } = await lab.status()
    assert.notEqual(trees[0]?.sites.find(({ site }) => site === 'lab')?.state, 'complete')
    const bytes = await metric('cache_bytes')
    assert.ok(bytes >= LARGE_BYTES, `${bytes} bytes`)
    await lab.kill()
    await hq.kill()
    lab = await start('lab')
    assert.equal(await metric('cache_bytes'), bytes)
    assert.ok(Buffer.from(await (await ask('large')).arrayBuffer()).equals(large))
  })

  await t.test('what nobody holds is 503, and says when to ask again', async () => {
    const answer = await ask('unread')
    assert.equal(answer.status, 503)
    assert.ok(Number(answer.headers.get('retry-after')) > 0)
    assert.match(((await answer.json()) as { detail: string }).detail, /no site that is connected now holds/)
  })

  await t.test('within its quota, and not at all when that is 0', async () => {
    await lab.stop()
    lab = await start('lab', { MIRRORMESH_PULL_QUOTA_BYTES: '3000000' })
    assert.ok((await metric('cache_bytes')) <= 3_000_000)
    await lab.stop()
    lab = await start('lab', { MIRRORMESH_PULL_QUOTA_BYTES: '0' })
    const answer = await ask('large')
    assert.equal(answer.status, 503)
    assert.match(((await answer.json()) as { detail: string }).detail, /not complete at this site/)
  })
})
