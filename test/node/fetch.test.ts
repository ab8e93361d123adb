/** `fetch list` and `fetch show` on a node whose only source is away. */
import assert from 'node:assert/strict'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { FetchDocument, FetchesDocument, FetchSummary } from '../../node/api/answers.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { type Daemon, freePort, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

test('a fetch can be seen while it waits, and is gone when it is complete', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [hq, lab, source] = [join(dir, 'hq'), join(dir, 'lab'), join(dir, 'src')]
  const listen = `127.0.0.1:${await freePort()}`
  const place = ['--mesh', 'm', '--site', 'hq', '--region', 'us', '--listen', listen, '--http', 'off']
  await succeed(['init', '--home', hq, ...place])
  const origin = await startDaemon(t, hq)
  const atSite = <T>(daemon: Daemon, site: string) => daemon.get<T>(`/api/v1/sites/${site}/fetches`)
  const token = (await succeed(['invite', '--home', hq, '--site', 'lab', '--region', 'eu'])).trim()
  await succeed(['join', '--home', lab, token, '--listen', '127.0.0.1:0', '--http', 'off'])
  let mirror = await startDaemon(t, lab)
  await mkdir(source)
  await writeFile(join(source, 'file'), 'bytes of a build')
  await succeed(['publish', source, '--tree', 'build', '--home', hq])
  await until('the lab knows of the head', async () => {
    const { trees } = await succeedJson<StatusDocument>(['status', '--home', lab])
    return trees.length === 1 ? true : undefined
  })
  const list = ['fetch', 'list', '--home', lab]
  assert.deepEqual((await succeedJson<{ fetches: FetchSummary[] }>(list)).fetches, [])
  const missing = await mirrormesh(['fetch', 'show', 'build', '--home', lab])
  assert.equal(missing.status, 5)
  assert.match(missing.stderr, /build is not being fetched here/)

  await origin.kill()
  // The pin is signed with the admin's key and handed in at the lab.
  await cp(join(hq, 'keys', 'admin.key'), join(lab, 'keys', 'admin.key'))
  await succeed(['pin', 'add', 'build', '--site', 'lab', '--home', lab])
  const [fetch] = await until('the lab begins to fetch', async () => {
    const { fetches } = await succeedJson<{ fetches: FetchSummary[] }>(list)
    return fetches.length === 1 ? fetches : undefined
  })
  assert.deepEqual(
    [fetch!.tree, fetch!.phase, fetch!.heldBytes, fetch!.totalBytes],
    ['build', 'snapshot', 0, null],
  )
  assert.match(await succeed(list), /^build +snapshot +0 B +\? /m)
  const show = ['fetch', 'show', 'build', '--home', lab]
  assert.match(await succeed(show), /^build: snapshot, 0 B of \? held, 0 B fetched in /)
  assert.deepEqual((await succeedJson<FetchDocument>(show)).segments, [])

  // Held back, over a restart: the source may come back, and nothing is asked of it.
  const paused = await mirrormesh(['fetch', 'pause', 'build', '--home', lab])
  assert.match(
    paused.stderr,
    /^build is paused by .+; it goes on with: mirrormesh --home .+ fetch resume build$/m,
  )
  assert.equal((await mirrormesh(['fetch', 'pause', 'none', '--home', lab])).status, 5)
  const pausedList = async () => (await succeedJson<FetchesDocument>(list)).paused?.map(({ tree }) => tree)
  assert.deepEqual(await pausedList(), ['build'])
  await mirror.kill()
  mirror = await startDaemon(t, lab)
  assert.deepEqual(await pausedList(), ['build'])
  const again = await startDaemon(t, hq)
  const seen = await until('hq sees the pause, by whom and since when', async () => {
    const lines = (await again.status()).trees[0]?.sites
    return lines?.find(({ site, pause }) => site === 'lab' && pause !== undefined)
  })
  assert.match(seen.reason ?? '', /^paused by .+ since 20\d\d-/)
  assert.equal(seen.state, 'behind')
  assert.equal((await mirrormesh(['status', '--check', '--home', lab])).status, 0)
  assert.deepEqual((await succeedJson<FetchesDocument>(list)).fetches, [])
  await again.kill()
  const resumed = await mirrormesh(['fetch', 'resume', 'build', '--home', lab])
  assert.match(resumed.stderr, /^build goes on$/m)
  assert.match((await mirrormesh(['fetch', 'resume', 'build', '--home', lab])).stderr, /was not paused here/)
  await until('the fetch begins again', async () => {
    return (await succeedJson<FetchesDocument>(list)).fetches.length === 1
  })

  await assert.rejects(atSite(mirror, 'hq'), {
    code: 'unreachable',
    message: /^hq cannot be reached from here: /,
  })
  await assert.rejects(atSite(mirror, 'none'), { code: 'not-found' })
  assert.equal((await atSite<{ fetches: FetchSummary[] }>(mirror, 'lab')).fetches[0]?.tree, 'build')
  const last = await startDaemon(t, hq)
  // A neighbour or not yet again: it is connected to for the question.
  assert.equal((await atSite<{ site: string }>(last, 'lab')).site, 'lab')
  await until('the fetch ends', async () => {
    const { fetches } = await succeedJson<{ fetches: FetchSummary[] }>(list)
    return fetches.length === 0 ? true : undefined
  })
  assert.match((await mirrormesh(list)).stderr, /nothing is being fetched/)
  assert.deepEqual(await atSite(last, 'lab'), { site: 'lab', fetches: [] })
})
