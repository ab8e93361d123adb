/** What admins say of sites and pins, on real processes: labels, drains, plans, parts of trees, takedowns. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import type {
  CollectAnswer,
  PublishAnswer,
  VerifyAnswer,
  WaitAnswer,
} from '../../node/api/jobs/job-answers.ts'
import type { PinPlan } from '../../node/api/pin-plan.ts'
import type { SiteDocument } from '../../node/api/routes/site-routes.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { checkCopies } from './policy-copies.ts'
import { freePort, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/x'

test('an admin steers what is kept where: labels, drains, plans, parts of trees', {
  timeout: 480_000,
}, async (t) => {
  const dir = await tempDir(t)
  const homes = { hq: join(dir, 'hq'), lab: join(dir, 'lab'), shop: join(dir, 'shop') }
  const http = await freePort()
  const listen = ['--listen', '127.0.0.1:0', '--http', 'off']
  const at = (home: string, ...args: string[]): string[] => ['--home', home, ...args]
  const publish = async (text: string): Promise<PublishAnswer> => {
    const source = join(dir, 'source')
    await mkdir(source, { recursive: true })
    await writeFile(join(source, 'file'), text)
    return succeedJson<PublishAnswer>(at(homes.hq, 'publish', source, '--tree', TREE))
  }
  await succeed(at(homes.hq, 'init', '--mesh', 'acme', '--site', 'hq', '--region', 'us', ...listen))
  const hq = await startDaemon(t, homes.hq)
  for (const site of ['lab', 'shop'] as const) {
    const token = await succeed(at(homes.hq, 'invite', '--site', site, '--region', 'eu'))
    const gateway = site === 'lab' ? ['--http', `127.0.0.1:${http}`] : []
    await succeed(at(homes[site], 'join', token.trim(), ...listen, ...gateway))
  }
  const daemons = { hq, lab: await startDaemon(t, homes.lab), shop: await startDaemon(t, homes.shop) }
  const replicaOf = (status: StatusDocument, tree: string, site: string) =>
    status.trees.find((each) => each.tree === tree)?.sites.find((each) => each.site === site)
  const replica = (status: StatusDocument, site: string) => replicaOf(status, TREE, site)

  await t.test('a pin by label is for the sites that have it', async () => {
    await succeed(at(homes.hq, 'site', 'label', 'lab', 'office', 'big'))
    assert.equal(await succeed(at(homes.hq, 'site', 'label', 'lab', 'big-', 'czech')), 'lab: czech office\n')
    const first = await publish('one')
    assert.equal(first.sequence, 1)
    const early = await mirrormesh(at(homes.hq, 'pin', 'add', TREE, '--label', 'shops'))
    assert.match(early.stderr, /no site is labelled shops yet/)
    await succeed(at(homes.hq, 'pin', 'add', TREE, '--label', 'office'))
    await until('the lab has it', async () => replica(await daemons.hq.status(), 'lab')?.state === 'complete')
    assert.equal(replica(await daemons.hq.status(), 'shop'), undefined)
    await succeed(at(homes.hq, 'site', 'label', 'shop', 'shops'))
    await until(
      'the shop has it',
      async () => replica(await daemons.hq.status(), 'shop')?.state === 'complete',
    )
    assert.match(await succeed(at(homes.hq, 'pin', 'list')), /builds\/x +label office/)
  })

  await t.test('a drained site keeps what it has, takes nothing new, and is not waited for', async () => {
    await succeed(at(homes.hq, 'site', 'drain', 'shop', '--note', 'the roof leaks'))
    await until('the shop knows', async () => {
      const { sites } = await daemons.shop.status()
      return sites.find(({ site }) => site === 'shop')?.drained
    })
    await publish('two')
    const waited = await succeedJson<WaitAnswer>(
      at(homes.hq, 'wait', TREE, '--sites', 'all', '--timeout', '60s'),
    )
    assert.deepEqual(waited.sites, ['lab'])
    const inVain = await mirrormesh(at(homes.hq, 'wait', TREE, '--sites', 'shop', '--timeout', '60s'))
    assert.equal(inVain.status, 6, inVain.stderr)
    assert.match(inVain.stderr, /shop is drained/)
    const held = await until('the shop says why', async () => {
      const found = replica(await daemons.hq.status(), 'shop')
      return found?.reason === 'the site is drained' && found
    })
    assert.deepEqual([held.sequence, held.state], [1, 'behind'])
    assert.equal((await mirrormesh(at(homes.hq, 'status', '--check'))).status, 0)
    assert.match(await succeed(at(homes.hq, 'status')), /shop +eu +up, drained/)
    const shown = await succeedJson<SiteDocument>(at(homes.shop, 'site', 'show', 'shop'))
    assert.deepEqual([shown.drained, shown.note, shown.labels], [true, 'the roof leaks', ['shops']])
    assert.match(
      await succeed(at(homes.lab, 'events', '--kind', 'site')),
      /shop: drained, labels shops: the roof/,
    )
    await succeed(at(homes.hq, 'site', 'undrain', 'shop'))
    await until('the shop catches up', async () => replica(await daemons.hq.status(), 'shop')?.sequence === 2)
    assert.equal(
      (await mirrormesh(at(homes.lab, 'site', 'drain', 'shop'))).status,
      6,
      'the lab has no admin key',
    )
    assert.equal((await mirrormesh(at(homes.hq, 'site', 'drain', 'moon'))).status, 5)
  })

  await t.test('a plan tells what a pin would move, and a stale one is refused', async () => {
    const other = join(dir, 'other')
    await mkdir(other, { recursive: true })
    await writeFile(join(other, 'big'), randomBytes(500_000))
    await succeed(at(homes.hq, 'publish', other, '--tree', 'builds/y'))
    const links = join(dir, 'links.yaml')
    await writeFile(links, 'regions:\n  eu: { up: 4 Mbit/s, down: 4 Mbit/s }\n')
    await succeed(at(homes.hq, 'topology', 'apply', links))
    const args = ['builds/y', '--region', 'eu', '--keep-last', '2']
    const plan = await succeedJson<PinPlan>(at(homes.hq, 'pin', 'plan', ...args))
    assert.deepEqual(
      plan.sites.map(({ site, trees }) => [site, trees[0]?.tree, trees[0]?.from]),
      [
        ['lab', 'builds/y', ['hq']],
        ['shop', 'builds/y', ['hq']],
      ],
    )
    for (const { bytes, seconds, freeBytes, freeAfterBytes } of plan.sites) {
      assert.ok(bytes > 500_000 && bytes < 510_000, `${bytes}`)
      assert.ok(seconds !== null && Math.abs(seconds - bytes / 500_000) < 1e-6, `${seconds}`)
      assert.ok(freeBytes !== null && freeAfterBytes === freeBytes - bytes)
    }
    assert.equal((await succeedJson<PinPlan>(at(homes.hq, 'pin', 'plan', ...args))).id, plan.id)
    await writeFile(join(other, 'more'), 'more')
    await succeed(at(homes.hq, 'publish', other, '--tree', 'builds/y'))
    const stale = await mirrormesh(at(homes.hq, 'pin', 'apply', '--plan', plan.id))
    assert.equal(stale.status, 8, stale.stderr)
    assert.match(stale.stderr, /is stale: .*Nothing was done/s)
    assert.equal((await mirrormesh(at(homes.hq, 'pin', 'apply', '--plan', 'abc'))).status, 5)
    const text = await mirrormesh(at(homes.hq, 'pin', 'plan', ...args))
    assert.match(text.stdout, /SITE +TREE .*\nlab +builds\/y@2 +50\d kB +hq +1\.0 s +.* free\n/)
    const id = /--plan (\w+)/.exec(text.stderr)?.[1]
    await succeed(at(homes.hq, 'pin', 'apply', '--plan', `${id}`))
    const again = await mirrormesh(at(homes.hq, 'pin', 'apply', '--plan', `${id}`))
    assert.equal(again.status, 8, 'a plan is applied once')
    await succeed(at(homes.hq, 'wait', 'builds/y', '--sites', 'lab,shop', '--timeout', '60s'))
    await writeFile(join(other, 'third'), randomBytes(30_000))
    await succeed(at(homes.hq, 'site', 'drain', 'lab'))
    await succeed(at(homes.hq, 'publish', other, '--tree', 'builds/y'))
    await succeed(at(homes.hq, 'wait', 'builds/y', '--sites', 'shop', '--timeout', '60s'))
    await succeed(at(homes.hq, 'pin', 'remove', 'builds/y', '--region', 'eu'))
    await succeed(at(homes.hq, 'site', 'undrain', 'lab'))
    const rest = await succeedJson<PinPlan>(at(homes.hq, 'pin', 'plan', ...args))
    assert.deepEqual(
      rest.sites.map(({ site, trees }) => [site, trees[0]?.bytes === 0, trees[0]?.isUpperBound]),
      [
        ['lab', false, false],
        ['shop', true, false],
      ],
    )
    assert.ok(rest.bytes > 30_000 && rest.bytes < 40_000, 'the lab fetches what it has missed')
    assert.deepEqual(rest.sites[0]?.trees[0]?.from, ['shop', 'hq'], 'its neighbour first')
    const removal = await succeedJson<PinPlan>(
      at(homes.hq, 'pin', 'plan', TREE, '--label', 'office', '--remove'),
    )
    assert.deepEqual([removal.released, removal.sites], [[{ site: 'lab', trees: [TREE] }], []])
  })

  await t.test('an office keeps a part of a tree: complete means that part, everywhere', async () => {
    const mirror = join(dir, 'mirror')
    for (const arch of ['aarch64', 'noarch', 'x86_64'])
      for (const name of ['one.rpm', 'two.rpm', 'debug/one.rpm']) {
        await mkdir(join(mirror, arch, 'debug'), { recursive: true })
        await writeFile(join(mirror, arch, name), randomBytes(40_000))
      }
    const tree = 'mirror/fedora'
    const place = join(dir, 'office-mirror')
    await succeed(at(homes.hq, 'publish', mirror, '--tree', tree))
    const args = [
      tree,
      '--site',
      'lab',
      '--path',
      'x86_64/',
      '--path',
      'noarch',
      '--exclude-path',
      'x86_64/debug',
    ]
    const plan = await succeedJson<PinPlan>(at(homes.hq, 'pin', 'plan', ...args))
    const { bytes, isUpperBound } = plan.sites[0]!.trees[0]!
    assert.ok(bytes > 200_000 && bytes < 210_000 && !isUpperBound, `${bytes} of five files`)
    await succeed(at(homes.hq, 'pin', 'add', ...args, '--checkout', place))
    await succeed(at(homes.hq, 'wait', tree, '--sites', 'lab', '--timeout', '60s'))
    const checked = await until('the check-out', async () => {
      const names = await readdir(place, { recursive: true }).catch(() => [])
      return names.length > 0 && names.toSorted()
    })
    assert.deepEqual(checked, [
      'noarch',
      'noarch/debug',
      'noarch/debug/one.rpm',
      'noarch/one.rpm',
      'noarch/two.rpm',
      'x86_64',
      'x86_64/one.rpm',
      'x86_64/two.rpm',
    ])
    assert.match(await succeed(at(homes.hq, 'status')), /mirror\/fedora .*\n +lab +complete \(filtered\)/)
    assert.match(await succeed(at(homes.hq, 'pin', 'list')), /noarch, x86_64 without x86_64\/debug/)
    const verified = await succeedJson<VerifyAnswer>(at(homes.lab, 'verify', tree, '--checkout', place))
    assert.equal(verified.isGood, true)
    assert.ok(verified.snapshots[0]!.bytes < 220_000, 'what is not kept is not missed')
    const base = `http://127.0.0.1:${http}/${tree}`
    assert.equal((await fetch(`${base}/x86_64/one.rpm`)).status, 200)
    const gone = await fetch(`${base}/aarch64/one.rpm`)
    assert.equal(gone.status, 404)
    assert.match(await gone.text(), /keeps only a part of it: noarch, x86_64 without x86_64\/debug/)
    assert.match(await (await fetch(`${base}/nowhere`)).text(), /has no \/nowhere/)
    const listed = await succeed(at(homes.lab, 'ls', tree))
    assert.ok(!listed.includes('aarch64') && listed.includes('noarch'), listed)
    const missing = await mirrormesh(at(homes.lab, 'get', `${tree}:aarch64/one.rpm`, join(dir, 'x')))
    assert.equal(missing.status, 5)
    assert.match(missing.stderr, /keeps only a part of it/)
    const kept = await succeedJson<CollectAnswer>(at(homes.lab, 'gc', '--dry-run'))
    assert.equal(kept.deadBlocks, 0)
    // More of it: what is new is fetched, and the check-out is written anew.
    await succeed(at(homes.hq, 'pin', 'add', tree, '--site', 'lab', '--path', 'aarch64', '--checkout', place))
    await until('the check-out of another part', async () => (await readdir(place)).join() === 'aarch64')
    await succeed(at(homes.lab, 'gc'))
    assert.equal((await succeedJson<VerifyAnswer>(at(homes.lab, 'verify', tree))).isGood, true)
    await succeed(at(homes.hq, 'pin', 'add', tree, '--site', 'lab', '--checkout', place))
    await until('all of it', async () => (await readdir(place)).length === 3)
    await until('the others hear of it', async () => {
      const replica = replicaOf(await daemons.hq.status(), tree, 'lab')
      return replica?.state === 'complete' && replica.isFiltered === undefined
    })
  })

  await t.test('a leaked file is taken down everywhere, and each site says so', async () => {
    const tree = 'builds/z'
    const place = join(dir, 'shop-z')
    const source = join(dir, 'source-z')
    await mkdir(source, { recursive: true })
    await writeFile(join(source, 'program'), randomBytes(50_000))
    const publishZ = () => succeedJson<PublishAnswer>(at(homes.hq, 'publish', source, '--tree', tree))
    await publishZ()
    await succeed(at(homes.hq, 'pin', 'add', tree, '--region', 'eu'))
    await succeed(at(homes.hq, 'pin', 'add', tree, '--site', 'shop', '--checkout', place))
    await succeed(at(homes.hq, 'wait', tree, '--sites', 'all', '--timeout', '60s'))
    // So small that gateways answer it out of memory.
    const secret = randomBytes(20_000)
    await writeFile(join(source, 'secret.key'), secret)
    const large = randomBytes(32_000_000)
    await writeFile(join(source, 'large'), large)
    await publishZ()
    await succeed(at(homes.hq, 'wait', tree, '--sites', 'all', '--timeout', '60s'))
    await until('the check-out has the secret', async () => (await readdir(place)).includes('secret.key'))
    const base = `http://127.0.0.1:${http}/${tree}`
    const asked = ['secret.key', '@2/secret.key', '@head/secret.key'].map((path) => `${base}/${path}`)
    for (const url of [...asked, ...asked]) assert.equal((await fetch(url)).status, 200, url)
    const { entries } = await succeedJson<{ entries: { path: string; cid?: string }[] }>(
      at(homes.lab, 'ls', `${tree}@2`),
    )
    const byCid = async (path: string): Promise<number> => {
      const cid = entries.find((each) => each.path === path)?.cid
      return (await fetch(`http://127.0.0.1:${http}/ipfs/${cid}?format=raw`)).status
    }
    assert.deepEqual(await Promise.all(['secret.key', 'program'].map(byCid)), [200, 200])
    // A client that has begun to read, and takes nothing more for now.
    const slow = await new Promise<IncomingMessage>((resolve, reject) => {
      get(`${base}/large`, { agent: false }, resolve).on('error', reject)
    })

    const unsure = await mirrormesh(at(homes.hq, 'tree', 'takedown', tree, '--path', 'secret.key'))
    assert.equal(unsure.status, 2, unsure.stderr)
    const refused = await mirrormesh(
      at(homes.lab, 'tree', 'takedown', tree, '--path', 'secret.key', '--reason', 'x', '--yes'),
    )
    assert.equal(refused.status, 6, refused.stderr)
    const args = ['tree', 'takedown', tree, '--path', 'secret.key', '--reason', 'a key leaked', '--yes']
    const said = await mirrormesh(at(homes.hq, ...args))
    assert.equal(said.status, 0, said.stderr)
    assert.match(said.stderr, /@2 goes from every site.*back to @1/s)
    // Whether its blocks are gone by then or not: who knows the record gives them to nobody.
    await until('the lab knows', async () => (await daemons.lab.status()).takedowns?.length === 1)
    assert.equal(await byCid('secret.key'), 404)
    await until('what stays is given', async () => (await byCid('program')) === 200)
    await until('every site has done it', async () => {
      const { takedowns = [] } = await daemons.hq.status()
      return takedowns[0]?.sites.every(({ state }) => state === 'done')
    })
    const pieces: Buffer[] = []
    await assert.rejects(async () => {
      for await (const piece of slow) pieces.push(piece as Buffer)
    }, 'its answer is cut')
    const got = Buffer.concat(pieces)
    assert.ok(got.equals(large.subarray(0, got.length)), 'and what it got is right')
    await until('the check-out went back', async () => !(await readdir(place)).includes('secret.key'))
    assert.equal((await fetch(`${base}/program`)).status, 200)
    for (const url of asked) assert.equal((await fetch(url)).status, 404, url)
    assert.equal((await fetch(`${base}/@2/program`)).status, 404)
    for (const home of Object.values(homes)) {
      const gone = await mirrormesh(at(home, 'get', `${tree}@2:secret.key`, join(dir, 'stolen')))
      assert.notEqual(gone.status, 0, home)
      const packs = join(home, 'store', 'packs')
      for (const name of await readdir(packs)) {
        const bytes = await readFile(join(packs, name)).catch(() => Buffer.alloc(0))
        assert.equal(bytes.includes(secret.subarray(1000, 1064)), false, `${name} of ${home} has some of it`)
      }
    }
    assert.match(
      await succeed(at(homes.lab, 'tree', 'takedown', tree, '--list')),
      /builds\/z:secret\.key +\S+ \S+ +a key leaked +hq lab shop +- +-/,
    )
    assert.match(
      await succeed(at(homes.lab, 'events', '--kind', 'takedown')),
      /took down builds\/z:secret.key: a key leaked/,
    )
    const status = await daemons.hq.status()
    assert.deepEqual(
      [replicaOf(status, tree, 'lab')?.sequence, replicaOf(status, tree, 'lab')?.state],
      [1, 'complete'],
    )

    // A node that was away hears of it, and nothing brings it back.
    await daemons.lab.stop()
    daemons.lab = await startDaemon(t, homes.lab)
    await rm(join(source, 'secret.key'))
    const next = await succeedJson<PublishAnswer>(
      at(homes.hq, 'publish', source, '--tree', tree, '--no-exclude'),
    )
    assert.equal(next.sequence, 3)
    await succeed(at(homes.hq, 'wait', tree, '--sites', 'all', '--timeout', '60s'))
    const after = await until('the restarted one still says so', async () => {
      const { takedowns = [] } = await daemons.hq.status()
      return takedowns[0]?.sites.every(({ state }) => state === 'done') && takedowns[0]
    })
    assert.deepEqual(after.sequences, [2])

    const other = await mirrormesh(at(homes.hq, 'tree', 'takedown', `${tree}@1`, '--lift', '--yes'))
    assert.equal(other.status, 5, other.stderr)
    assert.match(other.stderr, /builds\/z@1 is not taken down/)
    await succeed(at(homes.hq, 'tree', 'takedown', tree, '--path', 'secret.key', '--lift', '--yes'))
    assert.equal((await daemons.hq.status()).takedowns?.length ?? 0, 0)
  })

  await checkCopies(t, dir, homes, daemons)

  await t.test('labels are in the file of the mesh', async () => {
    const file = join(dir, 'mesh.yaml')
    await succeed(at(homes.hq, 'mesh', 'export', '--out', file))
    assert.match(await succeed(at(homes.hq, 'mesh', 'plan', file)), /nothing changes/)
    await writeFile(file, 'sites:\n  lab: { labels: [office] }\n')
    const applied = await mirrormesh(at(homes.hq, 'mesh', 'apply', file, '--prune', '--yes'))
    assert.equal(applied.status, 0, applied.stderr)
    const { sites } = await succeedJson<{ sites: SiteDocument[] }>(at(homes.hq, 'site', 'list'))
    assert.deepEqual(
      sites.map(({ site, labels }) => [site, labels]),
      [
        ['hq', []],
        ['lab', ['office']],
        ['shop', []],
      ],
    )
  })
})
