/** An origin and a site that nobody can dial, as their settings say, and a member between them that does not want the tree. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TopologyDocument } from '../../node/api/answers.ts'
import { freePort, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

test('a daemon that cannot be dialled publishes, and another fetches, through a third', {
  timeout: 120_000,
}, async (t) => {
  const dir = await tempDir(t)
  const homes = { hq: join(dir, 'hq'), middle: join(dir, 'middle'), lab: join(dir, 'lab') }
  const source = join(dir, 'source')
  const http = await freePort()
  const listen = ['--listen', '127.0.0.1:0']
  await succeed([
    ...['init', '--home', homes.hq, '--mesh', 'm', '--site', 'hq', '--region', 'us', ...listen],
    ...['--http', 'off'],
  ])
  const open = [await startDaemon(t, homes.hq)]
  for (const [site, region, place] of [
    ['middle', 'eu', `127.0.0.1:${http}`],
    ['lab', 'asia', 'off'],
  ] as const) {
    const token = await succeed(['invite', '--home', homes.hq, '--site', site, '--region', region])
    await succeed(['join', token.trim(), '--home', homes[site], ...listen, '--http', place])
    const daemon = await startDaemon(t, homes[site])
    if (site === 'lab') open.push(daemon)
  }
  // They learn where the middle is, and forget it no more.
  for (const daemon of open) {
    await until('it has heard of the middle', async () =>
      (await daemon.status()).sites.some(({ site, addresses }) => site === 'middle' && addresses.length > 0),
    )
  }
  for (const daemon of open) assert.equal(await daemon.stop(), 0)

  // Their addresses lead nowhere: nothing listens on the first port.
  const hidden = { MIRRORMESH_REACHABLE: 'false', MIRRORMESH_ANNOUNCE: '127.0.0.1:1' }
  await startDaemon(t, homes.hq, hidden)
  const lab = await startDaemon(t, homes.lab, hidden)
  await mkdir(source)
  await writeFile(join(source, 'image'), randomFillSync(Buffer.allocUnsafe(3_000_000)))
  await succeed(['publish', source, '--home', homes.hq, '--tree', 'x'])
  await succeed(['pin', 'add', 'x', '--home', homes.hq, '--site', 'lab'])
  await until('the lab has the tree', async () =>
    (await lab.status()).trees.some(({ sites }) =>
      sites.some(({ site, state }) => site === 'lab' && state === 'complete'),
    ),
  )
  const { measured } = await succeedJson<TopologyDocument>(['topology', 'show', '--home', homes.lab])
  assert.deepEqual(
    measured.map(({ site, isRelayed }) => ({ site, isRelayed })),
    [
      { site: 'hq', isRelayed: true },
      { site: 'middle', isRelayed: false },
    ],
  )
  assert.match(await succeed(['topology', 'show', '--home', homes.lab]), /hq +us +wan, relayed/)
  const metrics = await (await fetch(`http://127.0.0.1:${http}/metrics`)).text()
  const relayed = Number(/^mirrormesh_relayed_bytes (\d+)$/m.exec(metrics)?.[1])
  assert.ok(relayed > 3_000_000, `${relayed} bytes relayed`)
})
