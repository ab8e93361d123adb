/** Nodes that are killed at a bad moment, as real processes. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { VerifyAnswer } from '../../node/api/answers.ts'
import type { StatusDocument } from '../../src/replica/status.ts'
import { freePort, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/large'
const FILES = 12
const FILE_BYTES = 16 * 1024 * 1024

function replicaOf(status: StatusDocument, site: string) {
  return status.trees.find((each) => each.tree === TREE)?.sites.find((each) => each.site === site)
}

test('a lab that is killed in the middle of a fetch completes it after a restart, without fetching it all again', {
  timeout: 180_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [hqHome, labHome, source] = [join(dir, 'hq'), join(dir, 'lab'), join(dir, 'source')]
  await mkdir(source)
  for (let i = 0; i < FILES; i++) {
    await writeFile(join(source, `file-${i}`), randomFillSync(Buffer.allocUnsafe(FILE_BYTES)))
  }
  const listen = `127.0.0.1:${await freePort()}`
  await succeed([
    'init',
    '--home',
    hqHome,
    '--mesh',
    'm',
    '--site',
    'hq',
    '--region',
    'us',
    '--listen',
    listen,
    '--http',
    'off',
  ])
  const hq = await startDaemon(t, hqHome)
  const token = (await succeed(['invite', '--home', hqHome, '--site', 'lab', '--region', 'eu'])).trim()
  await succeed(['join', '--home', labHome, token, '--listen', '127.0.0.1:0', '--http', 'off'])
  await succeed(['publish', source, '--home', hqHome, '--tree', TREE])
  await succeed(['pin', 'add', TREE, '--home', hqHome, '--site', 'lab'])

  const lab = await startDaemon(t, labHome)
  const missingBytes = await until('the fetch is under way', async () => {
    const replica = replicaOf(await lab.status(), 'lab')
    assert.notEqual(replica?.state, 'complete', 'the fetch ended before it could be interrupted')
    const missing = replica?.missingBytes ?? 0
    return missing > 0 && missing < FILES * FILE_BYTES * 0.8 && missing
  })
  await lab.kill()
  assert.ok(missingBytes > 0)

  const again = await startDaemon(t, labHome)
  await until('it is complete', async () => replicaOf(await again.status(), 'lab')?.state === 'complete')
  const { traffic } = await again.status()
  assert.ok(
    traffic.classes.wan.bytesReceived < FILES * FILE_BYTES * 0.95,
    `what was stored did not come again: ${traffic.classes.wan.bytesReceived} of ${FILES * FILE_BYTES}`,
  )
  const verified = await succeedJson<VerifyAnswer>(['verify', TREE, '--home', labHome])
  assert.ok(verified.isGood)
  assert.equal(verified.snapshots.length, 1)
  // Of the blocks that left hq, few left it twice: only those in flight when the lab was killed.
  const sent = (await hq.status()).traffic
  assert.ok(
    sent.blocksSentMoreThanOnce < sent.blocksSent / 2,
    `${sent.blocksSentMoreThanOnce} of ${sent.blocksSent}`,
  )
})

test('a home that is too deep for a socket works, and a killed daemon leaves nothing in the way', async (t) => {
  const home = join(await tempDir(t), 'a-long-name-'.repeat(12))
  await succeed([
    'init',
    '--home',
    home,
    '--mesh',
    'm',
    '--site',
    'hq',
    '--region',
    'us',
    '--listen',
    '127.0.0.1:0',
    '--http',
    'off',
  ])
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
  timeout: 60_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [home, source] = [join(dir, 'hq'), join(dir, 'source')]
  await mkdir(source)
  await writeFile(join(source, 'a'), 'first\n')
  await succeed([
    'init',
    '--home',
    home,
    '--mesh',
    'm',
    '--site',
    'hq',
    '--region',
    'us',
    '--listen',
    '127.0.0.1:0',
    '--http',
    'off',
  ])
  const daemon = await startDaemon(t, home)
  await succeed(['publish', source, '--home', home, '--tree', 'x'])
  for (let i = 0; i < 10; i++) {
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
