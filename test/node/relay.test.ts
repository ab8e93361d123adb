/**
 * An origin and a whole region that nobody can dial from outside, as their settings say, and a member between them that does
 * not want the tree.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TopologyDocument } from '../../node/api/answers.ts'
import { freePort, startDaemon, succeed, succeedJson, until } from './program.ts'
import { DEAD_PORT, signMesh } from './signed-mesh.ts'
import { tempDir } from './temp-dir.ts'

const TREE_BYTES = 3_000_000

test('an origin that cannot be dialled publishes, and a region of such sites fetches, through a third', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const source = join(dir, 'source')
  const mesh = await signMesh(dir, {
    regions: { hq: 'us', middle: 'eu', 'lab-a': 'asia', 'lab-b': 'asia' },
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
})
