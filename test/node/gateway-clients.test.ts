/**
 * The clients that labs and offices have, as Debian packages them, against two real nodes: what docs/gateway.md says to
 * type is what is run here.
 */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { createHash, randomFillSync } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import {
  createApt,
  createDnf,
  createSigner,
  readBlocks,
  writeAptRepository,
  writeRpmRepository,
} from './package-repositories.ts'
import { freePort, startDaemon, succeed, until } from './program.ts'
import { signMesh } from './signed-mesh.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/nightly'
const DOCUMENT = join(import.meta.dirname, '../../docs/gateway.md')
const PROGRAMS = [
  'curl',
  'wget',
  'aria2c',
  'apt-get',
  'apt-ftparchive',
  'dpkg-deb',
  'gpg',
  'gpg-agent',
  'dnf',
  'createrepo_c',
  'rpmbuild',
]
const missing = PROGRAMS.filter((name) => spawnSync('which', [name]).status !== 0)
const PUBLISHES = 4
const run = promisify(execFile)

test('the clients that people have', {
  timeout: 240_000,
  skip:
    missing.length > 0 && process.env.CI !== 'true'
      ? `not installed: ${missing.join(', ')} (scripts/test-programs installs them as root)`
      : false,
}, async (t) => {
  const dir = await tempDir(t)
  const [source, work] = [join(dir, 'source'), join(dir, 'work')]
  const image = randomFillSync(Buffer.allocUnsafe(5_000_000))
  await mkdir(join(source, 'images'), { recursive: true })
  await mkdir(work)
  await writeFile(join(source, 'images/disk.img'), image)
  await writeFile(join(source, 'images/a name <&>.txt'), 'odd\n')
  const mesh = await signMesh(dir, { regions: { hq: 'us', lab: 'eu' }, tree: TREE, pinned: ['lab'] })
  const ports = { hq: await freePort(), lab: await freePort() }
  const start = (site: 'hq' | 'lab') =>
    startDaemon(t, mesh.site(site).home, {
      MIRRORMESH_HTTP: `127.0.0.1:${ports[site]}`,
      // By two names: aria2 counts its connections by host.
      MIRRORMESH_HTTP_URL: `http://${site === 'hq' ? 'localhost' : '127.0.0.1'}:${ports[site]}`,
      MIRRORMESH_DELTAS: 'off',
    })
  const base = `http://127.0.0.1:${ports.lab}`
  const hq = await start('hq')
  await start('lab')

  const newSigner = async (name: string) => {
    const made = await createSigner(join(work, name))
    t.after(() => made.close())
    return made
  }
  const signer = await newSigner('signer')
  let version = 0
  /** Made beforehand: publishing is to be as quick as it can. */
  const prepare = (wanted: number): Promise<unknown> =>
    Promise.all([
      writeAptRepository(join(work, `debian-${wanted}`), join(work, `in-${wanted}`), {
        version: wanted,
        signer,
      }),
      writeRpmRepository(join(work, `rpm-${wanted}`), join(work, `in-${wanted}`), wanted),
    ])
  async function publish(): Promise<void> {
    version++
    for (const kind of ['debian', 'rpm']) {
      await rm(join(source, kind), { recursive: true, force: true })
      await rename(join(work, `${kind}-${version}`), join(source, kind))
    }
    await succeed(['publish', source, '--home', hq.home, '--tree', TREE, '--accept-shrink'])
  }
  const shown = async (): Promise<number> => {
    const answer = await fetch(`${base}/${TREE}/`, { method: 'HEAD' })
    return answer.ok ? Number(answer.headers.get('x-mirrormesh-sequence')) : 0
  }
  await prepare(1)
  await publish()
  await until('the lab is complete', async () => (await shown()) === 1)
  await until('each names the other', async () => {
    const lists = await Promise.all(
      Object.values(ports).map(async (port) =>
        (await fetch(`http://127.0.0.1:${port}/mirrorlist?tree=${TREE}`)).text(),
      ),
    )
    return lists.every((list) => list.trim().split('\n').length === 2)
  })
  const blocks = await readBlocks(DOCUMENT)
  const blocksOf = (word: string): string[] =>
    (blocks.get(word) ?? []).map((text) =>
      text
        .replaceAll('http://lab-a.example:8080', base)
        .replaceAll('builds/nightly', TREE)
        .replaceAll('/etc/apt/keyrings/builds.asc', signer.keyFile),
    )

  await t.test('curl, wget and aria2 fetch, resume and unpack as the document says', async () => {
    const commands = blocksOf('sh')
    assert.equal(commands.length, 5)
    const out = join(dir, 'commands')
    for (const each of ['unpacked', 'exact']) await mkdir(join(out, each), { recursive: true })
    for (const text of commands) {
      // Something to resume.
      if (/ -C | -c /.test(text)) await writeFile(join(out, 'disk.img'), image.subarray(0, 1_234_567))
      else await rm(join(out, 'disk.img'), { force: true })
      const env = { PATH: process.env.PATH ?? '', LANG: 'C' }
      await run('bash', ['-eo', 'pipefail', '-c', text], { cwd: out, env, maxBuffer: 1 << 26 })
      if (text.includes('images')) assert.ok((await readFile(join(out, 'disk.img'))).equals(image), text)
    }
    assert.ok((await readFile(join(out, 'nearest.img'))).equals(image))
    assert.deepEqual((await readdir(join(out, 'images'))).sort(), ['a name <&>.txt', 'disk.img'])
    for (const each of ['unpacked', 'exact'])
      assert.deepEqual((await readdir(join(out, each))).sort(), ['dists', 'pool'])
  })

  await t.test(
    'aria2 goes on to the next site of a metalink when one does not answer, and compares the digest',
    async () => {
      const out = join(dir, 'aria2')
      await mkdir(out)
      const url = `${base}/metalink?tree=${TREE}&path=images/disk.img`
      const text = await (await fetch(url)).text()
      assert.ok(text.includes(createHash('sha256').update(image).digest('hex')))
      const nowhere = text.replace(
        /<url priority="1">[^<]*/,
        `<url priority="1">http://127.0.0.1:${await freePort()}/x`,
      )
      await writeFile(join(out, 'file.meta4'), nowhere)
      await run('aria2c', ['-q', '-k', '1M', '-M', 'file.meta4', '-d', out], { cwd: out })
      assert.ok((await readFile(join(out, 'disk.img'))).equals(image))
      await writeFile(
        join(out, 'wrong.meta4'),
        text.replace(/<hash.*<\/hash>/, `<hash type="sha-256">${'0'.repeat(64)}</hash>`),
      )
      await assert.rejects(run('aria2c', ['-q', '-M', 'wrong.meta4', '-d', join(out, 'wrong')], { cwd: out }))
    },
  )

  await t.test('aria2 takes the halves of a file from two sites at once', async () => {
    const given = (): Promise<number[]> =>
      Promise.all(
        Object.values(ports).map(async (port) => {
          const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
          return Number(/^mirrormesh_gateway_sent_bytes_total (\d+)$/m.exec(text)?.[1])
        }),
      )
    const out = join(dir, 'aria2-two')
    await mkdir(out)
    const before = await given()
    const halves = ['--disable-ipv6', '-s', '2', '-x', '1', '-k', '1M', '--max-overall-download-limit=8M']
    const url = `${base}/metalink?tree=${TREE}&path=images/disk.img`
    await run('aria2c', ['-q', '--follow-metalink=mem', ...halves, '-d', out, url], { cwd: out })
    assert.ok((await readFile(join(out, 'disk.img'))).equals(image))
    for (const [at, bytes] of (await given()).entries())
      assert.ok(bytes - before[at]! > 500_000, `${bytes - before[at]!} bytes of ${image.length}`)
  })

  await t.test('apt updates and downloads, from the plain address and from a mirror list', async () => {
    const lists = blocksOf('apt')
    assert.equal(lists.length, 2)
    for (const [at, sources] of lists.entries()) {
      const home = join(dir, `apt-${at}`)
      const apt = await createApt(home, sources)
      assert.match(await apt('update'), /Packages/)
      await apt('download', 'hello')
      assert.deepEqual(await readdir(join(home, 'out')), ['hello_1_all.deb'])
    }
    // What is served is judged by apt's own rules: by another key it is refused.
    const other = await newSigner('another')
    const refusing = await createApt(
      join(dir, 'apt-refuses'),
      lists[0]!.replace(signer.keyFile, other.keyFile),
    )
    await assert.rejects(refusing('update'), /NO_PUBKEY|not signed/)
    for (const name of ['Release', 'Release.gpg']) {
      const answer = await fetch(`${base}/${TREE}/debian/dists/stable/${name}`)
      await writeFile(join(work, name), Buffer.from(await answer.arrayBuffer()))
    }
    await run('gpgv', ['-q', '--keyring', signer.keyringFile, 'Release.gpg', 'Release'], { cwd: work })
  })

  await t.test('dnf makes its cache and downloads, by address, mirror list and metalink', async () => {
    const repos = blocksOf('dnf')
    assert.equal(repos.length, 3)
    await Promise.all(
      repos.map(async (repo, at) => {
        const home = join(dir, `dnf-${at}`)
        const dnf = await createDnf(home, repo)
        await dnf('makecache')
        await dnf('install', '--downloadonly', '--downloaddir', join(home, 'out'), 'hello')
        assert.deepEqual(await readdir(join(home, 'out')), ['hello-1-1.noarch.rpm'])
      }),
    )
  })

  await t.test('a client is sent to the site whose subnet it is in, unless that is drained', async () => {
    const file = join(work, 'links.yaml')
    await writeFile(file, 'sites:\n  hq: { subnets: [127.0.7.0/24] }\n  lab: { subnets: [127.0.8.0/24] }\n')
    await succeed(['topology', 'apply', file, '--home', hq.home])
    const reached = async (from: string): Promise<string> => {
      const out = join(work, 'reached')
      const url = `${base}/nearest/${TREE}/images/disk.img`
      const given = ['-fsSL', '--max-redirs', '1', '--interface', from, '-o', out, '-w', '%{url_effective}']
      const { stdout } = await run('curl', [...given, url])
      assert.ok((await readFile(out)).equals(image))
      return new URL(stdout).port
    }
    await until('the lab knows the subnets', async () => (await reached('127.0.7.1')) === String(ports.hq))
    assert.equal(await reached('127.0.8.1'), String(ports.lab))
    assert.equal(await reached('127.0.0.1'), String(ports.lab), 'of no subnet: where it asks')
    await succeed(['site', 'drain', 'hq', '--home', hq.home])
    await until('the lab knows of it', async () => (await reached('127.0.7.1')) === String(ports.lab))
    await succeed(['site', 'undrain', 'hq', '--home', hq.home])
  })

  await t.test(
    'what an index names is there after a move: by the address, a mirror list and a metalink',
    async () => {
      const apts = await Promise.all(
        blocksOf('apt').map(async (sources, at) => {
          const home = join(dir, `apt-move-${at}`)
          const apt = await createApt(home, sources)
          await apt('update')
          return { home, download: () => apt('download', 'hello') }
        }),
      )
      const dnfs = await Promise.all(
        blocksOf('dnf').map(async (repo, at) => {
          const home = join(dir, `dnf-move-${at}`)
          const dnf = await createDnf(home, repo)
          await dnf('makecache')
          const stay = ['--setopt=metadata_expire=-1', '--downloadonly', '--downloaddir', join(home, 'out')]
          return { home, download: () => dnf('install', ...stay, 'hello') }
        }),
      )
      await prepare(2)
      await publish()
      await until('the address has moved', async () => (await shown()) === 2)
      for (const { home, download } of [...apts, ...dnfs]) {
        await download()
        const [name = ''] = await readdir(join(home, 'out'))
        // dnf may find by itself that what it has read is not the newest any more, and read again.
        assert.match(name, home.includes('apt') ? /^hello_1_/ : /^hello-[12]-/)
      }
    },
  )

  await t.test('no run fails while snapshots are published without end', async (t) => {
    let isPublishing = true
    const runs = { apt: 0, dnf: 0 }
    const seen = new Set<string>()
    const apt = await createApt(join(dir, 'apt-loop'), blocksOf('apt')[0]!)
    const aptLoop = async (): Promise<void> => {
      while (isPublishing) {
        await apt('update')
        await apt('download', 'hello')
        runs.apt++
      }
    }
    const dnfLoop = async (repo: string, at: number): Promise<void> => {
      const home = join(dir, `dnf-loop-${at}`)
      const dnf = await createDnf(home, repo)
      while (isPublishing) {
        await dnf('makecache', '--refresh')
        await dnf('install', '--downloadonly', '--downloaddir', join(home, 'out'), 'hello')
        runs.dnf++
      }
    }
    for (let i = 0; i < PUBLISHES; i++) await prepare(version + 1 + i)
    /** The next comes when the address has moved, and one more run of each kind has ended: some run is in the middle of it. */
    const publishLoop = async (): Promise<void> => {
      for (let i = 0; i < PUBLISHES && isPublishing; i++) {
        const before = { ...runs }
        await publish()
        await until('the address moves, and clients run', async () => {
          const at = await shown()
          seen.add(String(at))
          return !isPublishing || (at === version && runs.apt > before.apt && runs.dnf > before.dnf)
        })
      }
      isPublishing = false
    }
    const loops = [publishLoop(), aptLoop(), ...blocksOf('dnf').map(dnfLoop)]
    // The first that fails ends the others: nothing may go on in a folder that is removed.
    for (const loop of loops)
      loop.catch(() => {
        isPublishing = false
      })
    await Promise.allSettled(loops)
    await Promise.all(loops)
    t.diagnostic(`${runs.apt} runs of apt and ${runs.dnf} of dnf, while ${seen.size} snapshots were shown`)
    assert.ok(runs.apt >= PUBLISHES && runs.dnf >= PUBLISHES, JSON.stringify(runs))
    assert.ok(seen.size >= PUBLISHES, `the address moved: ${[...seen]}`)
    // Gone from the newest snapshot, and asked for by whoever read the index before it.
    const old = await fetch(`${base}/${TREE}/debian/pool/hello_${version - 1}_all.deb`)
    assert.equal(old.status, 200)
    assert.equal(old.headers.get('x-mirrormesh-sequence'), String(version - 1))
  })
})
