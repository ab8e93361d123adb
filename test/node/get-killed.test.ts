/**
 * `get` on a machine outside of the mesh, killed (SIGKILL) again and again at all steps of its way: whatever is at the destination is
 * whole, the next one goes on, and in the end nothing is left beside it.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { watch } from 'node:fs'
import { chmod, link, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort, mirrormesh, type Outcome, startDaemon, succeed } from './program.ts'
import { signMesh } from './signed-mesh.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/x'

test('a get that is killed anywhere goes on, and leaves nothing behind', { timeout: 240_000 }, async (t) => {
  const dir = await tempDir(t)
  const source = join(dir, 'source')
  const large = randomFillSync(Buffer.allocUnsafe(2_000_000))
  await mkdir(join(source, 'sub/deep'), { recursive: true })
  await writeFile(join(source, 'large'), large)
  await chmod(join(source, 'large'), 0o640)
  for (let i = 0; i < 30; i++)
    await writeFile(join(source, `sub/${i}`), randomFillSync(Buffer.allocUnsafe(20_000)))
  await writeFile(join(source, 'sub/deep/last'), 'last\n')
  const mesh = await signMesh(dir, { regions: { hq: 'us' }, tree: TREE, pinned: [] })
  const port = await freePort()
  const hq = await startDaemon(t, mesh.site('hq').home, { MIRRORMESH_HTTP: `127.0.0.1:${port}` })
  await succeed(['publish', source, '--home', hq.home, '--tree', TREE])

  let blocks = 0
  let onBlock = (): void => undefined
  const proxy = createServer((incoming, response) => {
    if (incoming.url?.includes('/block?') === true) {
      blocks++
      onBlock()
    }
    request({ host: '127.0.0.1', port, path: incoming.url, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    }).end()
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  const base = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`

  /** Killed as soon as `isTime` says so; asked at each block that it asks for, and each change in the folder. */
  async function getUntil(path: string, out: string, isTime: (change: string) => boolean): Promise<Outcome> {
    let child: ChildProcess | undefined
    const look = (change: string): void => {
      if (isTime(change)) child?.kill('SIGKILL')
    }
    onBlock = () => look('block')
    const watcher = watch(out, (_, name) => look(name ?? ''))
    try {
      const args = ['--home', join(dir, 'home'), 'get', `${base}/${TREE}/${path}`, join(out, 'it')]
      const more = ['--mesh', mesh.mesh.mesh.toString(), '--no-mirrors', '--json']
      return await mirrormesh([...args, ...more], {
        onStart(started) {
          child = started
        },
      })
    } finally {
      watcher.close()
    }
  }

  /** By what is waited for; then once more, to the end. */
  async function killAtEach(
    path: string,
    times: readonly (() => (change: string) => boolean)[],
    check: (dest: string) => Promise<void>,
  ): Promise<void> {
    const out = join(dir, `out-${path}`)
    await mkdir(out)
    const isThere = async (): Promise<boolean> => (await readdir(out)).includes('it')
    for (const time of times) {
      const outcome = await getUntil(path, out, time())
      // Too late to be killed, it has succeeded; else the next one does not begin with a finished one's place.
      assert.ok(outcome.status === null || outcome.status === 0, outcome.stderr)
      if (await isThere()) await check(join(out, 'it'))
      if (outcome.status === 0) break
    }
    const last = await getUntil(path, out, () => false)
    if (last.status !== 0) {
      // The one before was killed when it had done everything, or was not killed at all.
      assert.equal(last.status, 8, last.stderr)
      assert.match(last.stderr, /exists|check-out already/)
    }
    await check(join(out, 'it'))
    assert.deepEqual(
      (await readdir(out)).filter((name) => /-(get|got|part)$|\.tmp$/.test(name)),
      [],
    )
  }
  const atBlock = (count: number) => () => {
    const until = blocks + count
    return () => blocks >= until
  }
  const at = (name: string) => () => (change: string) => change === name

  await t.test('a file', async () => {
    const times = [atBlock(12), at('.it.mirrormesh-part'), at('it'), at('.it.mirrormesh-got')]
    await killAtEach('large', times, async (file) => {
      assert.ok((await readFile(file)).equals(large))
      assert.equal((await stat(file)).mode & 0o777, 0o640)
    })
    // What arrived before a kill was not asked for again, but for what was under way.
    const once = 40
    assert.ok(blocks < 3 * once + 64, `${blocks} blocks asked for`)
  })

  await t.test('a folder', async () => {
    const times = [atBlock(10), at('it'), at('.it.mirrormesh-got')]
    await killAtEach('sub', times, async (folder) => {
      execFileSync('diff', ['-r', join(source, 'sub'), folder])
    })
  })

  await t.test('what another has put in the way is not written into', async () => {
    const out = join(dir, 'shared')
    await mkdir(out)
    await writeFile(join(out, 'precious'), 'precious\n')
    await link(join(out, 'precious'), join(out, '.it.mirrormesh-part'))
    const refused = await getUntil('large', out, () => false)
    assert.equal(refused.status, 8, refused.stderr)
    assert.match(refused.stderr, /not of an earlier get of yours/)
    assert.equal(await readFile(join(out, 'precious'), 'utf8'), 'precious\n')
  })
})
