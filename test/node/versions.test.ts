/** Several snapshots of a tree side by side: by a pin, and by hand. */
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { PinDocument } from '../../node/api/answers.ts'
import type { CheckoutAnswer, CollectAnswer, VerifyAnswer } from '../../node/api/jobs/job-answers.ts'
import { foundMesh, joinMesh } from './founded-mesh.ts'
import { freePort, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/nightly'

async function shown(dir: string): Promise<string[]> {
  return (await readdir(dir)).filter((name) => !name.startsWith('.')).sort()
}

test('a lab keeps the newest two side by side by a pin, and a link to the newest; by hand any others', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [hqHome, home, source, dest] = [
    join(dir, 'hq'),
    join(dir, 'lab'),
    join(dir, 'source'),
    join(dir, 'out'),
  ]
  await foundMesh(hqHome, { listen: `127.0.0.1:${await freePort()}` })
  await startDaemon(t, hqHome)
  await joinMesh(home, hqHome, { region: 'us' })
  const lab = await startDaemon(t, home)
  const replica = async () =>
    (await lab.status()).trees.find(({ tree }) => tree === TREE)?.sites.find(({ site }) => site === 'lab')
  const publish = async (sequence: number): Promise<void> => {
    await mkdir(source, { recursive: true })
    await writeFile(join(source, 'build'), `build ${sequence}`.repeat(10_000))
    await succeed(['publish', source, '--home', hqHome, '--tree', TREE])
  }
  const movedTo = (sequence: number) =>
    until(`latest leads to ${sequence}`, async () => (await replica())?.checkouts[0]?.sequence === sequence)

  const pin = ['pin', 'add', TREE, '--home', hqHome, '--site', 'lab']
  assert.equal((await mirrormesh([...pin, '--versions', '2'])).status, 2)
  assert.equal((await mirrormesh([...pin, '--checkout', dest, '--versions', '0'])).status, 2)
  await publish(1)
  await succeed([...pin, '--checkout', dest, '--versions', '2'])
  await movedTo(1)
  for (const sequence of [2, 3, 4]) {
    if (sequence === 3) await succeed(['tag', `${TREE}@2`, 'ga', '--home', hqHome])
    await publish(sequence)
    await movedTo(sequence)
  }
  assert.deepEqual(await shown(dest), ['2', '3', '4', 'latest'])
  assert.equal(await readlink(join(dest, 'latest')), '4')
  assert.equal(await readFile(join(dest, 'latest', 'build'), 'utf8'), 'build 4'.repeat(10_000))
  assert.equal(await readFile(join(dest, '2', 'build'), 'utf8'), 'build 2'.repeat(10_000))

  assert.deepEqual((await replica())?.checkouts, [{ path: dest, sequence: 4, versions: 2 }])
  assert.match(await succeed(['status', '--home', home]), /@4 at .*\/out\/latest \(versions: 2\)/)
  const { pins } = await succeedJson<{ pins: PinDocument[] }>(['pin', 'list', '--home', home])
  assert.equal(pins[0]?.versions, 2)
  assert.match(await succeed(['pin', 'list', '--home', home]), /VERSIONS +KEEP .*\n.* 2 +- +- +all\n/)

  const latest = join(dest, 'latest')
  const checked = await succeedJson<VerifyAnswer>(['verify', TREE, '--checkout', latest, '--home', home])
  assert.ok(checked.isGood)
  assert.equal(await succeed(['diff', TREE, '--dir', latest, '--home', home]), '')
  const other = await mirrormesh(['verify', `${TREE}@3`, '--checkout', latest, '--home', home])
  assert.equal(other.status, 1)
  assert.match(other.stdout, /build/)
  const whole = await mirrormesh(['verify', TREE, '--checkout', dest, '--home', home])
  assert.equal(whole.status, 2)
  assert.match(whole.stderr, /folder of versions/)
  const collected = await succeedJson<CollectAnswer>(['gc', '--dry-run', '--home', home])
  for (const sequence of [2, 3, 4]) {
    const kept = collected.kept.find((each) => each.sequence === sequence)
    assert.ok(kept?.reasons.includes(`checked out at ${dest}/${sequence}`), JSON.stringify(kept))
  }

  const hand = join(dir, 'by-hand')
  const checkout = (spec: string, ...more: string[]) => [
    'checkout',
    spec,
    hand,
    '--versions',
    '1',
    '--home',
    home,
    ...more,
  ]
  assert.match(await succeed(checkout(`${TREE}@3`)), /by-hand\/latest leads to it; there are: @3/)
  const answer = await succeedJson<CheckoutAnswer>(checkout(TREE))
  assert.equal(answer.dest, join(hand, '4'))
  // The one before stays for a minute: clients go on with what they read in the link.
  assert.deepEqual(answer.versions, {
    latest: join(hand, 'latest'),
    sequences: [4, 3],
    removed: [],
    staying: [],
    wasThere: false,
  })
  assert.equal((await succeedJson<CheckoutAnswer>(checkout(`${TREE}@3`))).versions?.wasThere, true)
  assert.equal(await readlink(join(hand, 'latest')), '3')
  assert.equal((await mirrormesh(checkout(TREE, '--replace'))).status, 2)
  assert.equal((await mirrormesh(checkout(TREE, '--protect', 'x'))).status, 2)
  assert.equal((await mirrormesh(['checkout', TREE, hand, '--replace', '--home', home])).status, 8)
  await writeFile(join(dir, 'file'), '')
  const refused = await mirrormesh(['checkout', TREE, join(dir, 'file'), '--versions', '3', '--home', home])
  assert.equal(refused.status, 8)

  // Whoever removes a version by hand: what it stored of a snapshot that stays is saved before.
  await succeed(['gc', '--home', home])
  const pruned = await succeedJson<CheckoutAnswer>([
    ...['checkout', TREE, dest, '--versions', '1', '--home', home],
  ])
  assert.deepEqual([pruned.versions?.removed, pruned.versions?.sequences], [[3], [4, 2]])
  assert.ok((await succeedJson<VerifyAnswer>(['verify', `${TREE}@3`, '--home', home])).isGood)
})
