/**
 * Nodes of this version and of an older one in one mesh, as it is while an organisation upgrades site by site: they
 * replicate to and from each other, and the old one passes on what it does not understand. releases/ holds that version as
 * it was; a change that it cannot live with fails here.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { PublishAnswer } from '../../node/api/jobs/job-answers.ts'
import type { SiteDocument } from '../../node/api/routes/site-routes.ts'
import { type Daemon, freePort, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

const ROOT = join(import.meta.dirname, '../..')
const RELEASES = join(import.meta.dirname, 'releases')
const TREE = 'builds/x'

/** Below the repository, where it finds the packages. */
async function unpackRelease(t: TestContext, archive: string): Promise<string> {
  await mkdir(join(ROOT, '.tmp'), { recursive: true })
  const dir = await mkdtemp(join(ROOT, '.tmp/release-'))
  t.after(() => rm(dir, { recursive: true }))
  execFileSync('tar', ['-xJf', join(RELEASES, archive), '--strip-components=1', '-C', dir])
  return join(dir, 'node/main.ts')
}

for (const archive of await readdir(RELEASES)) {
  test(`sites of this version and of ${archive} are one mesh`, { timeout: 300_000 }, async (t) => {
    const dir = await tempDir(t)
    const main = await unpackRelease(t, archive)
    const home = (site: string): string => join(dir, site)
    const at = (site: string, ...args: string[]): string[] => ['--home', home(site), ...args]
    const listen = async (): Promise<string[]> => [
      ...['--listen', `127.0.0.1:${await freePort()}`],
      ...['--http', 'off'],
    ]
    const source = join(dir, 'source')
    await mkdir(source)
    const publish = async (site: string, tree: string, text: string): Promise<number> => {
      await writeFile(join(source, 'file'), text)
      const run = site === 'old' ? { main } : {}
      const args = at(site, 'publish', source, '--tree', tree, '--json')
      return (JSON.parse(await succeed(args, run)) as PublishAnswer).sequence
    }
    const has = (site: string, daemon: Daemon, tree: string, sequence: number): Promise<unknown> =>
      until(`${site} holds ${tree}@${sequence}`, async () => {
        const known = (await daemon.status()).trees.find((each) => each.tree === tree)
        const here = known?.sites.find((each) => each.site === site)
        return here?.state === 'complete' && here.sequence === sequence
      })

    await succeed(at('hq', 'init', '--mesh', 'acme', '--site', 'hq', '--region', 'us', ...(await listen())))
    let hq = await startDaemon(t, home('hq'))
    for (const site of ['old', 'lab']) {
      const token = await succeed(at('hq', 'invite', '--site', site, '--region', 'eu'))
      await succeed(at(site, 'join', token.trim(), ...(await listen())), site === 'old' ? { main } : {})
    }
    const old = await startDaemon(t, home('old'), {}, main)
    let lab = await startDaemon(t, home('lab'))
    await succeed(at('hq', 'tree', 'create', TREE))
    await succeed(at('hq', 'tree', 'create', 'logs/old', '--publisher', 'old'))
    await succeed(at('hq', 'pin', 'add', '**', '--all'))

    await t.test('what the one publishes the other holds', async () => {
      // A new tree has a form that the old one reads, once it was heard of.
      await until('the old one is heard of', async () =>
        (await hq.status()).sites.some(({ site, version }) => site === 'old' && version !== null),
      )
      await publish('hq', TREE, 'one')
      await Promise.all([has('old', old, TREE, 1), has('lab', lab, TREE, 1)])
      await until('the old one knows its tree', async () =>
        (await old.status()).trees.some(({ tree }) => tree === 'logs/old'),
      )
      await publish('old', 'logs/old', 'log')
      await Promise.all([has('hq', hq, 'logs/old', 1), has('lab', lab, 'logs/old', 1)])
    })

    await t.test('the old one passes on records that it does not know, and content meanwhile', async () => {
      await lab.stop()
      await succeed(at('hq', 'site', 'label', 'lab', 'office'))
      await succeed(at('hq', 'tree', 'set', TREE, '--kind', 'versioned'))
      await publish('hq', TREE, 'two')
      await has('old', old, TREE, 2)
      await hq.stop()
      lab = await startDaemon(t, home('lab'))
      await has('lab', lab, TREE, 2)
      await until('the label has come by way of the old one', async () => {
        const { sites } = await succeedJson<{ sites: SiteDocument[] }>(at('lab', 'site', 'list'))
        return sites.find(({ site }) => site === 'lab')?.labels.includes('office')
      })
      hq = await startDaemon(t, home('hq'))
      assert.equal(await publish('hq', TREE, 'three'), 3)
      await Promise.all([has('old', old, TREE, 3), has('lab', lab, TREE, 3)])
      for (const site of ['old', 'lab']) {
        const out = join(dir, `out-${site}`)
        await succeed(at(site, 'checkout', TREE, out), site === 'old' ? { main } : {})
        assert.equal(await readFile(join(out, 'file'), 'utf8'), 'three')
      }
    })
  })
}
