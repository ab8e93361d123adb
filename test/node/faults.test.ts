/** What a system does to a daemon: no more open files, a disk that turns read-only, an index that is gone, a second start. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { mirrormesh, socketOf, startDaemon, succeed, until } from './program.ts'
import { tempDir } from './temp-dir.ts'
import { tinyDisk } from './tiny-disk.ts'

const TREE = 'builds/nightly'

async function write(folder: string, files: number, text: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (let i = 0; i < files; i++) await writeFile(join(folder, `file-${i}`), `${text} ${i}\n`)
}

async function init(home: string): Promise<void> {
  const place = ['--mesh', 'm', '--site', 'hq', '--region', 'us', '--listen', '127.0.0.1:0', '--http', 'off']
  await succeed(['init', '--home', home, ...place])
}

test('a second daemon on one home is refused and told who has it', { timeout: 300_000 }, async (t) => {
  const home = join(await tempDir(t), 'home')
  await init(home)
  const daemon = await startDaemon(t, home)
  const second = await mirrormesh(['daemon', '--home', home])
  assert.equal(second.status, 8, second.stderr)
  assert.match(second.stderr, new RegExp(`in use by process ${daemon.pid}\\b.*stop it first`))
  assert.match(await succeed(['status', '--home', home]), /hq/)
  assert.equal(await daemon.stop(), 0)
})

test('a lost index is rebuilt: the history is there, and what was complete is complete and right again', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [home, source] = [join(dir, 'home'), join(dir, 'source')]
  await init(home)
  const first = await startDaemon(t, home)
  await write(source, 50, 'first')
  await succeed(['publish', source, '--home', home, '--tree', TREE])
  await succeed(['pin', 'add', TREE, '--home', home, '--all'])
  await write(source, 60, 'second')
  await succeed(['publish', source, '--home', home, '--tree', TREE])
  assert.equal(await first.stop(), 0)
  await rm(join(home, 'store/index'), { recursive: true })

  const daemon = await startDaemon(t, home)
  await until('it is complete again', async () => {
    const { trees } = await daemon.status()
    return trees.find(({ tree }) => tree === TREE)?.sites.some(({ state }) => state === 'complete')
  })
  assert.match(await succeed(['verify', '--home', home]), /every block is here and right/)
  // No sequence went back.
  assert.match(await succeed(['publish', source, '--home', home, '--tree', TREE]), /@2 .*unchanged/)
  await write(source, 61, 'third')
  assert.match(await succeed(['publish', source, '--home', home, '--tree', TREE]), /@3 /)
  assert.equal(await daemon.stop(), 0)
})

test('out of open files, a publish fails by name instead of leaving files out, and works once there are more', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [home, source] = [join(dir, 'home'), join(dir, 'source')]
  await init(home)
  const daemon = await startDaemon(t, home)
  await write(source, 40, 'text')
  await succeed(['publish', source, '--home', home, '--tree', TREE])
  const open = (await readdir(`/proc/${daemon.pid}/fd`)).length
  const limit = (files: number): void => {
    execFileSync('prlimit', ['--pid', String(daemon.pid), `--nofile=${files}:`])
  }
  const refusal = async (why: RegExp): Promise<void> => {
    const failed = await mirrormesh(['publish', source, '--home', home, '--tree', TREE])
    assert.ok([1, 7].includes(failed.status ?? 0), failed.stdout + failed.stderr)
    assert.match(failed.stderr, why)
    assert.match(failed.stderr, /as many files and connections open as it may.*LimitNOFILE/)
    assert.doesNotMatch(failed.stderr, /defect of mirrormesh|no daemon answers/)
  }
  // The more there are, the more of a publication succeeds before one lacks: for a thread, too.
  for (const spare of [2, 7, 9, 12]) {
    await writeFile(join(source, 'file-0'), `with ${spare} spare\n`)
    limit(open + spare)
    await refusal(/EMFILE|without an answer/)
  }
  const clients = Array.from({ length: 64 }, () => connect(socketOf(home)).on('error', () => undefined))
  await Promise.race(clients.map((client) => once(client, 'close')))
  await refusal(/without an answer/)
  for (const client of clients) client.destroy()
  limit(4096)
  assert.match(await succeed(['publish', source, '--home', home, '--tree', TREE]), /@2 /)
  assert.match(await succeed(['verify', '--home', home]), /every block is here and right/)
  assert.equal(await daemon.stop(), 0)
})

test('a home on a read-only disk is refused with the reason, and nothing of it is lost', {
  timeout: 300_000,
}, async (t) => {
  const disk = await tinyDisk(t, 200)
  if (disk === undefined) return
  const dir = await tempDir(t)
  const [home, source, dest] = [join(disk, 'home'), join(dir, 'source'), join(dir, 'dest')]
  await init(home)
  const daemon = await startDaemon(t, home)
  await write(source, 40, 'first')
  await succeed(['publish', source, '--home', home, '--tree', TREE])
  // With files open for writing the kernel refuses to remount: what turns beneath a running program is a mount of the same.
  execFileSync('mount', ['--bind', home, home])
  execFileSync('mount', ['-o', 'remount,bind,ro', home])
  assert.equal(await daemon.stop(), 0)
  assert.match(daemon.stderr(), /EROFS.*"event":"daemon\.stop-failed"/)
  assert.doesNotMatch(daemon.stderr(), /interrupted/)
  execFileSync('umount', [home])
  const remount = (mode: 'ro' | 'rw') => execFileSync('mount', ['-o', `remount,${mode}`, disk])
  remount('ro')
  const refused = await mirrormesh(['daemon', '--home', home])
  assert.notEqual(refused.status, 0)
  assert.match(refused.stderr, /EROFS|read-only/i)
  remount('rw')

  const again = await startDaemon(t, home)
  await succeed(['checkout', `${TREE}@1`, dest, '--home', home])
  assert.equal((await readdir(dest)).length, 40)
  await write(source, 50, 'second')
  assert.match(await succeed(['publish', source, '--home', home, '--tree', TREE]), /@2 /)
  assert.match(await succeed(['verify', '--home', home]), /every block is here and right/)
  assert.equal(await again.stop(), 0)
})
