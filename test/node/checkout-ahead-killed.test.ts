/** Check-outs that are written while their tree is fetched, by daemons that are killed in the middle of it. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { test } from 'node:test'
import type { FetchesDocument } from '../../node/api/answers.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { type Daemon, startDaemon, succeed, until } from './program.ts'
import { signMesh } from './signed-mesh.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/small-files'
const DIRS = 30
const FILES = 50
const FILE_BYTES = 6000
const AT_ONCE = { MIRRORMESH_CHECKOUTS_AHEAD_SECONDS: '0' }

function replicaOf(status: StatusDocument, site: string) {
  return status.trees.find((each) => each.tree === TREE)?.sites.find((each) => each.site === site)
}

function writeFiles(source: string, count: number): void {
  for (let dir = 0; dir < DIRS; dir++) {
    mkdirSync(join(source, `dir-${dir}`, 'sub'), { recursive: true })
    for (let file = 0; file < count; file++) {
      const name = join(source, `dir-${dir}`, file % 2 === 0 ? 'sub' : '', `file-${file}`)
      writeFileSync(name, randomFillSync(Buffer.allocUnsafe(FILE_BYTES)))
    }
  }
}

/** Resolves when so many files of the check-out are written, in the middle of the fetch. */
async function writtenMeanwhile(daemon: Daemon, sequence: number, files: number): Promise<void> {
  await until(`${files} files are written meanwhile`, async () => {
    const { fetches } = await daemon.get<FetchesDocument>('/api/v1/fetches')
    const [fetch] = fetches
    if ((fetch?.checkout?.files ?? 0) >= files && fetch!.heldBytes < fetch!.totalBytes!) return true
    const at = replicaOf(await daemon.status(), 'lab')?.sequence
    assert.notEqual(at, sequence, 'the fetch ended before so much was written')
    return undefined
  })
}

test('a daemon that is killed while it fetches a tree and writes its check-out leaves what was there, and nothing else in the end', {
  timeout: 400_000,
}, async (t) => {
  const dir = await tempDir(t)
  const source = join(dir, 'source')
  writeFiles(source, FILES)
  const mesh = await signMesh(dir, { regions: { hq: 'us', lab: 'eu' }, tree: TREE, pinned: ['lab'] })
  const { home, checkout } = mesh.site('lab')
  // Half a minute for all of it, of which a tenth is waited for.
  const slow = { MIRRORMESH_WAN_UP_BYTES_PER_SECOND: '300000' }
  let hq = await startDaemon(t, mesh.site('hq').home, slow)
  const startAgain = async (env: Readonly<Record<string, string>>): Promise<void> => {
    await hq.kill()
    hq = await startDaemon(t, hq.home, env)
  }
  await succeed(['publish', source, '--home', hq.home, '--tree', TREE])
  const leftovers = (): string[] =>
    readdirSync(dirname(checkout)).filter((name) => name.startsWith(`.${basename(checkout)}.mirrormesh-`))
  const moved = (daemon: Daemon, sequence: number) =>
    until(`check-out ${sequence} is there`, async () => {
      return replicaOf(await daemon.status(), 'lab')?.checkouts[0]?.sequence === sequence
    })

  for (const files of [1, 200]) {
    const lab = await startDaemon(t, home, AT_ONCE)
    await writtenMeanwhile(lab, 1, files)
    if (files === 1) assert.match(await succeed(['fetch', 'show', TREE, '--home', home]), /^check-out at /m)
    await lab.kill()
    assert.equal(existsSync(checkout), false)
    assert.equal(leftovers().length, 1)
  }
  await startAgain({})
  let lab = await startDaemon(t, home, AT_ONCE)
  await moved(lab, 1)
  execFileSync('diff', ['-r', source, checkout])
  assert.deepEqual(leftovers(), [])
  assert.match(lab.stderr(), /"event":"checkout\.moved"/)

  const first = join(dir, 'first')
  execFileSync('cp', ['-a', source, first])
  writeFiles(source, FILES / 2)
  await startAgain(slow)
  await succeed(['publish', source, '--home', hq.home, '--tree', TREE])
  await writtenMeanwhile(lab, 2, 1)
  await lab.kill()
  execFileSync('diff', ['-r', first, checkout])
  assert.equal(leftovers().length, 1)
  await startAgain({})
  lab = await startDaemon(t, home, AT_ONCE)
  await moved(lab, 2)
  execFileSync('diff', ['-r', source, checkout])
  assert.deepEqual(leftovers(), [])
  assert.match(await succeed(['verify', TREE, '--home', home]), /every block is here and right/)
})
