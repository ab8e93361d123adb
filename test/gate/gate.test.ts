/** Gates, judged on trees that were made by the tools that make such trees. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { type TestContext, test } from 'node:test'
import { type Gate, judge } from '../../src/gate/gate.ts'
import type { Verdict } from '../../src/gate/verdict.ts'
import { skipWithout } from '../needs.ts'
import { type Bench, bench } from '../tree/trees.ts'
import { makeDebRepository, makeRpmRepository, writeRelease } from './made-repositories.ts'

async function judged(b: Bench, dir: string, gate: Gate): Promise<Verdict> {
  const { snapshot } = await b.import(dir)
  return judge(gate, { source: b.store.blocks, root: snapshot.root })
}

const OPEN = { reasons: [], notes: [] }

async function source(t: TestContext): Promise<Bench> {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  return b
}

test('a status file opens the gate with its first line, and with nothing else', async (t) => {
  const b = await source(t)
  const gate: Gate = { path: 'meta/STATUS', text: 'FINISHED' }
  const reasonNow = async (): Promise<string | undefined> =>
    (await judged(b, b.at('source'), gate)).reasons[0]
  assert.equal(await reasonNow(), 'there is no meta/STATUS')
  fs.mkdirSync(b.at('source', 'meta', 'STATUS'), { recursive: true })
  assert.equal(await reasonNow(), 'meta/STATUS is no file')
  fs.rmdirSync(b.at('source', 'meta', 'STATUS'))
  fs.writeFileSync(b.at('source', 'meta', 'STATUS'), 'RUNNING\u001b[2J\nFINISHED\n')
  assert.equal(await reasonNow(), 'meta/STATUS says "RUNNING\\x1b[2J" and not "FINISHED"')
  fs.writeFileSync(b.at('source', 'meta', 'STATUS'), 'x'.repeat(100_000))
  assert.match((await reasonNow()) ?? '', /larger than/)
  fs.writeFileSync(b.at('source', 'meta', 'STATUS'), 'FINISHED\r\nsince 12:00\n')
  assert.deepEqual(await judged(b, b.at('source'), gate), OPEN)
})

test('an rpm repository opens the gate when it has all that its metadata names', {
  skip: skipWithout('rpmbuild', 'createrepo_c'),
}, async (t) => {
  const b = await source(t)
  const gate: Gate = { repository: 'rpm' }
  assert.deepEqual((await judged(b, b.at('source'), gate)).reasons, ['there is no repodata/repomd.xml in it'])
  const repository = b.at('source', 'os')
  makeRpmRepository(repository, ['ada', 'bob'])
  assert.deepEqual(await judged(b, b.at('source'), gate), OPEN)
  const ada = b.at('source', 'os', 'Packages', 'ada-1-1.noarch.rpm')
  const bytes = fs.readFileSync(ada)

  fs.rmSync(ada)
  assert.match((await judged(b, b.at('source'), gate)).reasons.join(), /ada-1-1.noarch.rpm is not there/)
  fs.writeFileSync(ada, bytes.subarray(0, 1000))
  assert.match((await judged(b, b.at('source'), gate)).reasons.join(), /ada.* has 1000 bytes where/)
  fs.writeFileSync(ada, bytes)

  // Metadata of two runs side by side.
  const primary = fs
    .readdirSync(b.at('source', 'os', 'repodata'))
    .find((name) => /primary\.xml\.gz$/.test(name))!
  const list = b.at('source', 'os', 'repodata', primary)
  const before = fs.readFileSync(list)
  fs.writeFileSync(list, Buffer.from(before).fill(0, 40, 41))
  assert.match((await judged(b, b.at('source'), gate)).reasons.join(), /has another sha256/)
  fs.rmSync(list)
  assert.match((await judged(b, b.at('source'), gate)).reasons.join(), /primary\.xml\.gz is not there/)
  fs.writeFileSync(list, before)
  fs.writeFileSync(b.at('source', 'os', 'repodata', 'repomd.xml'), '<repomd><data type="primary">')
  assert.match((await judged(b, b.at('source'), gate)).reasons.join(), /repomd.xml is not XML/)
})

test('packages of a list that cannot be read are said not to be checked', {
  skip: skipWithout('rpmbuild', 'createrepo_c'),
}, async (t) => {
  const b = await source(t)
  makeRpmRepository(b.at('source', 'os'), ['ada'], ['--general-compress-type=xz'])
  fs.rmSync(b.at('source', 'os', 'Packages'), { recursive: true })
  const { reasons, notes } = await judged(b, b.at('source'), { repository: 'rpm' })
  assert.deepEqual(reasons, [])
  assert.match(notes.join(), /primary\.xml\.xz were not checked/)
})

test('a suite of a Debian archive opens the gate when it has all that its metadata names', {
  skip: skipWithout('dpkg-deb', 'apt-ftparchive'),
}, async (t) => {
  const b = await source(t)
  const gate: Gate = { repository: 'deb' }
  assert.deepEqual((await judged(b, b.at('source'), gate)).reasons, ['there is no dists/SUITE/Release in it'])
  const archive = b.at('source', 'debian')
  makeDebRepository(archive, ['ada', 'bob'])
  assert.deepEqual(await judged(b, b.at('source'), gate), OPEN)

  const bob = b.at('source', 'debian', 'pool', 'bob_1_all.deb')
  const bytes = fs.readFileSync(bob)
  fs.rmSync(bob)
  assert.match((await judged(b, b.at('source'), gate)).reasons.join(), /bob_1_all.deb is not there/)
  fs.writeFileSync(bob, `${bytes.toString('latin1')}!`, 'latin1')
  assert.match((await judged(b, b.at('source'), gate)).reasons.join(), /bob_1_all.deb has \d+ bytes where/)
  fs.writeFileSync(bob, bytes)

  const lists = b.at('source', 'debian', 'dists', 'stable', 'main', 'binary-all')
  fs.appendFileSync(`${lists}/Packages`, '\n')
  assert.match((await judged(b, b.at('source'), gate)).reasons.join(), /Packages has \d+ bytes where/)
  // One packing of a list is enough, and apt takes any.
  fs.rmSync(`${lists}/Packages`)
  assert.deepEqual(await judged(b, b.at('source'), gate), OPEN)
  fs.rmSync(`${lists}/Packages.gz`)
  assert.match((await judged(b, b.at('source'), gate)).reasons.join(), /none of the Packages lists/)
  fs.writeFileSync(`${lists}/Packages.gz`, 'no gzip')
  writeRelease(archive)
  assert.match((await judged(b, b.at('source'), gate)).reasons.join(), /Packages.gz cannot be read/)
})

test('a verdict lists ten reasons and counts the rest', async (t) => {
  const b = await source(t)
  const repodata = b.at('source', 'repodata')
  fs.mkdirSync(repodata)
  const items = Array.from({ length: 30 }, (_, i) => `<package><location href="p${i}.rpm"/></package>`)
  fs.writeFileSync(`${repodata}/primary.xml`, `<metadata>${items.join('')}</metadata>`)
  fs.writeFileSync(
    `${repodata}/repomd.xml`,
    '<repomd><data type="primary"><location href="repodata/primary.xml"/></data></repomd>',
  )
  const { reasons } = await judged(b, b.at('source'), { repository: 'rpm' })
  assert.equal(reasons.length, 11)
  assert.equal(reasons.at(-1), 'and 20 more')
})
