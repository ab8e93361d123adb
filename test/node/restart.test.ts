/** Nodes that are killed at a bad moment, as real processes. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { PublishAnswer, VerifyAnswer } from '../../node/api/jobs/job-answers.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { foundMesh } from './founded-mesh.ts'
import { mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { signMesh } from './signed-mesh.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/large'
const FILES = 6
const FILE_BYTES = 4 * 1024 * 1024
const TREE_BYTES = FILES * FILE_BYTES

function replicaOf(status: StatusDocument, site: string) {
  return status.trees.find((each) => each.tree === TREE)?.sites.find((each) => each.site === site)
}

test('a lab that is killed in the middle of a fetch completes it after a restart, and at most 1 % comes again', {
  timeout: 400_000,
}, async (t) => {
  const dir = await tempDir(t)
  const source = join(dir, 'source')
  await mkdir(source)
  for (let i = 0; i < FILES; i++) {
    await writeFile(join(source, `file-${i}`), randomFillSync(Buffer.allocUnsafe(FILE_BYTES)))
  }
  const mesh = await signMesh(dir, { regions: { hq: 'us', lab: 'eu' }, tree: TREE, pinned: ['lab'] })
  const labHome = mesh.site('lab').home
  // Slow enough to be interrupted: the second half takes more than a second.
  const hq = await startDaemon(t, mesh.site('hq').home, { MIRRORMESH_WAN_UP_BYTES_PER_SECOND: '8000000' })
  const { blocks } = await succeedJson<PublishAnswer>(['publish', source, '--home', hq.home, '--tree', TREE])
  const lab = await startDaemon(t, labHome)
  const missingBytes = await until('the fetch is under way', async () => {
    const replica = replicaOf(await lab.status(), 'lab')
    assert.notEqual(replica?.state, 'complete', 'the fetch ended before it could be interrupted')
    const missing = replica?.missingBytes ?? 0
    return missing > 0 && missing < TREE_BYTES * 0.6 && missing
  })
  await lab.kill()

  const again = await startDaemon(t, labHome)
  await until('it is complete', async () => replicaOf(await again.status(), 'lab')?.state === 'complete')
  const { bytesReceived } = (await again.status()).traffic.classes.wan
  assert.ok(
    bytesReceived <= missingBytes + 0.01 * TREE_BYTES,
    `what was stored did not come again: ${bytesReceived} for ${missingBytes} that were missing of ${TREE_BYTES}`,
  )
  const verified = await succeedJson<VerifyAnswer>(['verify', TREE, '--home', labHome])
  assert.ok(verified.isGood)
  assert.equal(verified.snapshots.length, 1)
  // What left hq twice was on its way when the lab was killed: a pipeline of a second at most.
  const sent = (await hq.status()).traffic
  assert.ok(sent.blocksSent <= 1.3 * blocks, `${sent.blocksSent} of ${blocks} blocks left hq`)
})

test('a home that is too deep for a socket works, and a killed daemon leaves nothing in the way', async (t) => {
  const home = join(await tempDir(t), 'a-long-name-'.repeat(12))
  await foundMesh(home)
  const daemon = await startDaemon(t, home)
  assert.match(await succeed(['status', '--home', home]), /^mesh m,/)
  await daemon.kill()
  const outcome = await mirrormesh(['status', '--home', home])
  assert.equal(outcome.status, 7, outcome.stderr)
  assert.match(outcome.stderr, /nobody listens there/)
  const next = await startDaemon(t, home)
  assert.match(await succeed(['status', '--home', home]), /^mesh m,/)
  const socket = (await succeed(['config', 'path', '--home', home])).match(/^socket +(.*)$/m)?.[1] ?? ''
  assert.equal((await stat(socket)).mode & 0o777, 0o600)
  assert.equal(await next.stop(), 0)
  await assert.rejects(stat(socket), { code: 'ENOENT' })
})

test('a publish that is killed with its daemon leaves the old head, and the next one goes on', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [home, source] = [join(dir, 'hq'), join(dir, 'source')]
  await mkdir(source)
  await writeFile(join(source, 'a'), 'first\n')
  await foundMesh(home)
  const daemon = await startDaemon(t, home)
  await succeed(['publish', source, '--home', home, '--tree', 'x'])
  for (let i = 0; i < 15; i++) {
    await writeFile(join(source, `large-${i}`), randomFillSync(Buffer.allocUnsafe(FILE_BYTES)))
  }
  const publishing = mirrormesh(['publish', source, '--home', home, '--tree', 'x'])
  await until('the job runs', async () => daemon.stderr().match(/"event":"job\.started"/g)?.length === 2)
  await daemon.kill()
  const outcome = await publishing
  assert.equal(outcome.status, 7, outcome.stderr)
  await startDaemon(t, home)
  assert.match(await succeed(['tree', 'show', 'x', '--home', home]), /^head +@1 /m)
  assert.match(await succeed(['verify', '--home', home]), /every block is here and right/)
  assert.match(await succeed(['publish', source, '--home', home, '--tree', 'x']), /^x@2 /)
  assert.match(await succeed(['verify', '--home', home]), /^x@2 .*every block is here and right/)
})
