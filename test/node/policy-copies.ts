/** What the mesh of policy.test.ts does about copies: a minimum is counted, and the last copy stays, whoever collects at once. */
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { PinDocument } from '../../node/api/answers.ts'
import type { CollectAnswer } from '../../node/api/jobs/job-answers.ts'
import type { PinTree } from '../../node/cli/verbs/pin-show.ts'
import { type Daemon, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'

type SiteName = 'hq' | 'lab' | 'shop'

const TREE = 'builds/k'
const WANTED_ELSEWHERE = /^a pin elsewhere wants it/

export async function checkCopies(
  t: TestContext,
  dir: string,
  homes: Readonly<Record<SiteName, string>>,
  daemons: Record<SiteName, Daemon>,
): Promise<void> {
  const at = (site: SiteName, ...args: string[]): string[] => ['--home', homes[site], ...args]
  const collect = (site: SiteName) => succeedJson<CollectAnswer>(at(site, 'gc'))
  const kept = ({ kept: all }: CollectAnswer) => all.filter(({ tree }) => tree === TREE)
  const sequences = (answer: CollectAnswer) => kept(answer).map(({ sequence }) => sequence)

  await t.test('a pin names a minimum, and copies count once another site has seen them', async () => {
    const source = join(dir, 'source-k')
    await mkdir(source, { recursive: true })
    await succeed(at('hq', 'tree', 'create', TREE))
    const added = at('hq', 'pin', 'add', TREE, '--all', '--keep-last', '1', '--min-copies', '2')
    await succeed(added)
    await succeed(at('hq', 'pin', 'add', TREE, '--site', 'lab', '--keep-last', '2'))
    const unsure = await mirrormesh(at('hq', 'pin', 'add', TREE, '--site', 'shop', '--min-copies', '1'))
    assert.equal(unsure.status, 2, unsure.stderr)
    for (const text of ['one', 'two']) {
      await writeFile(join(source, 'file'), text)
      await succeed(at('hq', 'publish', source, '--tree', TREE))
      await succeed(at('hq', 'wait', TREE, '--sites', 'all', '--timeout', '60s'))
    }
    const pin = await until('two copies are verified', async () => {
      const { pins } = await succeedJson<{ pins: PinDocument[] }>(at('lab', 'pin', 'list'))
      const found = pins.find(({ name }) => name === `${TREE}@all`)
      return (found?.fewest?.verified ?? 0) >= 2 && found
    })
    assert.deepEqual([pin.copies, pin.fewest?.tree], [2, TREE])
    assert.match(await succeed(at('lab', 'pin', 'list')), /COPIES[\s\S]*builds\/k +all .* [23] of 2/)
    // What lab has heard of them hq may hear a little later.
    const { copies, sequence } = await until('hq knows of two copies', async () => {
      const shown = await succeedJson<{ trees: PinTree[] }>(at('hq', 'pin', 'show', TREE, '--all'))
      const { copies: known, sequence: of } = shown.trees[0]!
      return known !== null && known.sites.length >= 2 && { copies: known, sequence: of }
    })
    assert.equal(sequence, 2)
    for (const { site, by, sequence: seen } of copies.sites) {
      assert.notEqual(site, by)
      assert.equal(seen, 2)
    }
    assert.match(await succeed(at('hq', 'pin', 'show', TREE, '--all')), /copies +[23] of 2/)
    const file = join(dir, 'copies.yaml')
    await succeed(at('hq', 'mesh', 'export', '--out', file))
    assert.match(await readFile(file, 'utf8'), /copies: 2/)
    assert.match(await succeed(at('hq', 'mesh', 'plan', file)), /nothing changes/)
  })

  await t.test('in a half without those that want it the others keep it, all of them', async () => {
    process.kill(daemons.lab.pid, 'SIGSTOP')
    try {
      for (const site of ['hq', 'shop'] as const) {
        await daemons[site].stop()
        daemons[site] = await startDaemon(t, homes[site])
      }
      const answers = await Promise.all([collect('hq'), collect('shop')])
      for (const answer of answers) {
        assert.deepEqual(sequences(answer), [2, 1])
        for (const { reasons } of kept(answer).slice(1)) assert.match(reasons[0]!, WANTED_ELSEWHERE)
      }
    } finally {
      process.kill(daemons.lab.pid, 'SIGCONT')
    }
  })

  await t.test(
    'when all collect at once, what a pin wants stays where it is wanted, and goes elsewhere once it is shown',
    async () => {
      await until('the others have dropped it', async () => {
        const [hq, lab, shop] = await Promise.all([collect('hq'), collect('lab'), collect('shop')])
        assert.deepEqual(sequences(lab), [2, 1])
        return sequences(hq).length === 1 && sequences(shop).length === 1
      })
      for (const sequence of [1, 2]) {
        const whole = await succeed(at('lab', 'verify', `${TREE}@${sequence}`))
        assert.match(whole, /every block is here and right/)
      }
      assert.equal((await mirrormesh(at('hq', 'verify', `${TREE}@1`))).status, 4)
    },
  )
}
