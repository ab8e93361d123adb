/** A whole mesh of real processes on loopback: what a newcomer does, in the order in which they do it. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFile, chmod, mkdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { PublishAnswer, VerifyAnswer } from '../../node/api/jobs/job-answers.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { type Daemon, freePort, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

async function makeSource(folder: string): Promise<void> {
  await mkdir(join(folder, 'bin'), { recursive: true })
  await mkdir(join(folder, 'empty'))
  await writeFile(join(folder, 'README'), 'hello\n')
  await writeFile(join(folder, 'bin/tool'), '#!/bin/sh\necho tool\n')
  await chmod(join(folder, 'bin/tool'), 0o755)
  await writeFile(join(folder, 'large'), Buffer.alloc(3_000_000, 'some bytes that repeat; '))
  await symlink('bin/tool', join(folder, 'link'))
  await utimes(join(folder, 'README'), 1_600_000_000, 1_600_000_000.123)
}

test('three nodes are made, joined by invites, and replicate a tree', { timeout: 400_000 }, async (t) => {
  const dir = await tempDir(t)
  const homes = { hq: join(dir, 'hq'), a: join(dir, 'lab-a'), b: join(dir, 'lab-b') }
  const source = join(dir, 'source')
  await makeSource(source)
  const http = { hq: await freePort(), a: await freePort(), b: await freePort() }
  const at = (home: string, ...args: string[]): string[] => ['--home', home, ...args]
  const place = (port: number): string[] => ['--listen', '127.0.0.1:0', '--http', `127.0.0.1:${port}`]

  await succeed([
    'init',
    '--home',
    homes.hq,
    '--mesh',
    'acme',
    '--site',
    'hq',
    '--region',
    'us',
    ...place(http.hq),
  ])
  const hq = await startDaemon(t, homes.hq)
  const daemons: Daemon[] = [hq]

  await t.test('a second daemon on the same home is refused, and names the first', async () => {
    const second = await mirrormesh(at(homes.hq, 'daemon'))
    assert.equal(second.status, 8, second.stderr)
    assert.match(second.stderr, new RegExp(`in use by process ${hq.pid}\\b`))
  })

  await t.test('an invite prints only its token, and admits one node once', async () => {
    const tokens: string[] = []
    for (const [site, home] of [
      ['lab-a', homes.a],
      ['lab-b', homes.b],
    ] as const) {
      const text = await succeed(at(homes.hq, 'invite', '--site', site, '--region', 'eu'))
      assert.match(text, /^mm1\.[\w-]+\n$/)
      tokens.push(text.trim())
      const joined = await succeedJson<{ site: string; region: string; mesh: { name: string } }>(
        at(home, 'join', text.trim(), ...place(site === 'lab-a' ? http.a : http.b)),
      )
      assert.deepEqual([joined.site, joined.region, joined.mesh.name], [site, 'eu', 'acme'])
    }
    const used = await mirrormesh(at(join(dir, 'thief'), 'join', tokens[0]!))
    assert.equal(used.status, 6, used.stderr)
    assert.match(used.stderr, /the invite has been used.*new invite/s)
    // With a new invite it shall be possible to say --listen, too.
    await assert.rejects(stat(join(dir, 'thief/config.yaml')), { code: 'ENOENT' })
    const again = await mirrormesh(at(homes.a, 'join', tokens[1]!))
    assert.equal(again.status, 8, again.stderr)
    const taken = await mirrormesh(at(homes.hq, 'invite', '--site', 'lab-a', '--region', 'eu'))
    assert.equal(taken.status, 8, taken.stderr)
  })

  await t.test('an expired invite is refused before and by the mesh', async () => {
    const token = (
      await succeed(at(homes.hq, 'invite', '--site', 'late', '--region', 'eu', '--expires', '1s'))
    ).trim()
    await new Promise((resolve) => setTimeout(resolve, 1100))
    const outcome = await mirrormesh(at(join(dir, 'late'), 'join', token))
    assert.equal(outcome.status, 6, outcome.stderr)
    assert.match(outcome.stderr, /the invite expired at 20.*Ask an admin/s)
  })

  daemons.push(...(await Promise.all([startDaemon(t, homes.a), startDaemon(t, homes.b)])))

  await t.test('publish --wait all ends when every pinned site holds the tree', async () => {
    await succeed(at(homes.hq, 'tree', 'create', 'builds/x'))
    await succeed(at(homes.hq, 'pin', 'add', 'builds/x', '--region', 'eu', '--checkout', join(dir, 'out')))
    // One machine: the two labs may not share a check-out, so the pin is for one of them in the end.
    await succeed(at(homes.hq, 'pin', 'remove', 'builds/x', '--region', 'eu'))
    await succeed(at(homes.hq, 'pin', 'add', 'builds/x', '--site', 'lab-a', '--checkout', join(dir, 'out')))
    for (const path of ['out', 'out/inner']) {
      const taken = await mirrormesh(
        at(homes.hq, 'pin', 'add', 'a-tree', '--region', 'eu', '--checkout', join(dir, path)),
      )
      assert.equal(taken.status, 8, taken.stderr)
      assert.match(taken.stderr, /\/out is a check-out of builds\/x at lab-a/)
    }
    await succeed(at(homes.hq, 'pin', 'add', 'builds/x', '--site', 'lab-b'))
    const answer = await succeedJson<PublishAnswer>(
      at(homes.hq, 'publish', source, '--tree', 'builds/x', '--wait', 'all', '--timeout', '60s'),
    )
    assert.deepEqual([answer.tree, answer.epoch, answer.sequence, answer.isNew], ['builds/x', 1, 1, true])
    assert.deepEqual([answer.files, answer.bytes], [3, 3_000_026])
    assert.deepEqual(answer.waited?.sites, ['lab-a', 'lab-b'])
    assert.ok(answer.blocks > 0 && answer.newBytes > 0 && answer.seconds > 0)
  })

  await t.test('status shows the same at every site, as text and as JSON', async () => {
    for (const home of Object.values(homes)) {
      const status = await until('everybody is known everywhere', async () => {
        const found = await succeedJson<StatusDocument>(at(home, 'status'))
        const tree = found.trees.find((each) => each.tree === 'builds/x')
        const states = tree?.sites.map(
          (each) => `${each.site} ${each.state} ${each.sequence} ${each.missingBytes}`,
        )
        return found.sites.every((each) => each.state !== 'never-seen') &&
          states?.every((each) => /complete 1 0/.test(each)) === true
          ? found
          : undefined
      })
      assert.deepEqual(
        status.sites.map((each) => `${each.site} ${each.region}`),
        ['hq us', 'lab-a eu', 'lab-b eu'],
      )
      const text = await succeed(at(home, 'status', '--check'))
      assert.match(text, /^mesh acme, seen from .*\nid bafyr4i/)
      assert.match(text, /builds\/x +@1 +3 +3\.0 MB/)
    }
  })

  await t.test('the check-out that the pin asks for is the source', async () => {
    await until('the check-out', async () =>
      (await daemons[1]!.status()).trees[0]?.sites.some((each) =>
        each.checkouts.some((out) => out.sequence === 1),
      ),
    )
    assertSame(source, join(dir, 'out'))
  })

  await t.test('ls, get, diff, checkout and verify work at a lab', async () => {
    const names = (await succeed(at(homes.a, 'ls', 'builds/x'))).trim().split('\n')
    assert.deepEqual(names, ['README', 'bin/', 'empty/', 'large', 'link'])
    const listing = await succeedJson<{
      sequence: number
      entries: { path: string; type: string; target?: string }[]
    }>(at(homes.a, 'ls', '-R', 'builds/x@1'))
    assert.deepEqual(
      listing.entries.map((each) => each.path),
      ['README', 'bin', 'bin/tool', 'empty', 'large', 'link'],
    )
    assert.equal(listing.entries.at(-1)?.target, 'bin/tool')
    assert.match(
      await succeed(at(homes.a, 'ls', '-l', 'builds/x:/bin')),
      /^-rwxr-xr-x \S+ \S+ +20 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d tool\n$/,
    )

    const file = join(dir, 'got')
    await succeed(at(homes.b, 'get', 'builds/x:/large', file))
    assert.ok((await readFile(file)).equals(await readFile(join(source, 'large'))))
    assert.equal((await mirrormesh(at(homes.b, 'get', 'builds/x:/large', file))).status, 8)
    assert.equal(await succeed(at(homes.b, 'get', 'builds/x:/README', '-')), 'hello\n')
    await succeed(at(homes.b, 'get', 'builds/x:/bin', join(dir, 'got-bin')))
    assertSame(join(source, 'bin'), join(dir, 'got-bin'))

    const out = join(dir, 'checkout-b')
    await succeed(at(homes.b, 'checkout', 'builds/x@1', out))
    assertSame(source, out)
    assert.equal((await mirrormesh(at(homes.b, 'checkout', 'builds/x', out))).status, 8)
    const verified = await succeedJson<VerifyAnswer>(at(homes.b, 'verify', 'builds/x', '--checkout', out))
    assert.ok(verified.isGood)
    assert.deepEqual(
      verified.snapshots.map((each) => each.missing.count),
      [0],
    )
    await appendFile(join(out, 'README'), 'changed')
    const changed = await mirrormesh(at(homes.b, 'verify', 'builds/x', '--checkout', out))
    assert.equal(changed.status, 1)
    assert.match(changed.stdout, /2 differences|1 differences/)
    assert.match(changed.stdout, /^ {2}README: /m)
  })

  await t.test('a second publish moves the check-out, and diff tells what changed', async () => {
    await writeFile(join(source, 'README'), 'hello again\n')
    await writeFile(join(source, 'new'), 'new\n')
    await rm(join(source, 'bin/tool'))
    const before = await hq.status()
    const answer = await succeedJson<PublishAnswer>(
      at(homes.hq, 'publish', source, '--tree', 'builds/x', '--wait', 'lab-a,lab-b'),
    )
    assert.equal(answer.sequence, 2)
    assert.ok(answer.newBytes < 100_000, `only what changed is new: ${answer.newBytes}`)
    const after = await hq.status()
    const sent = after.traffic.classes.wan.bytesSent - before.traffic.classes.wan.bytesSent
    assert.ok(sent < 200_000, `only what changed travels: ${sent}`)
    const lines = (await succeed(at(homes.a, 'diff', 'builds/x@1', 'builds/x@2'))).trim().split('\n')
    const expected = ['m .', 'M README', '- bin/tool', '+ new']
    assert.deepEqual(
      lines.filter((line) => expected.includes(line)),
      expected,
    )
    assert.ok(
      lines.every((line) => expected.includes(line) || line.startsWith('m ')),
      lines.join('\n'),
    )
    await until(
      'the check-out moves',
      async () => (await readFile(join(dir, 'out/README'), 'utf8')) === 'hello again\n',
    )
    assertSame(source, join(dir, 'out'))
    assert.deepEqual(
      (
        await succeedJson<{ heads: { sequence: number }[] }>(at(homes.b, 'tree', 'history', 'builds/x'))
      ).heads.map((head) => head.sequence),
      [2, 1],
    )
    const unchanged = await succeedJson<PublishAnswer>(at(homes.hq, 'publish', source, '--tree', 'builds/x'))
    assert.deepEqual([unchanged.sequence, unchanged.isNew], [2, false])
  })

  await t.test('a tag is a name for a snapshot, until it is moved or removed', async () => {
    await succeed(at(homes.hq, 'tag', 'builds/x@1', 'ga'))
    await until(
      'the tag arrives',
      async () => (await mirrormesh(at(homes.b, 'ls', 'builds/x@ga'))).status === 0,
    )
    assert.match(await succeed(at(homes.b, 'ls', 'builds/x@ga:/bin')), /^tool$/m)
    await succeed(at(homes.hq, 'tag', 'builds/x', 'ga'))
    await succeed(at(homes.hq, 'tag', 'builds/x', 'ga', '--remove'))
    assert.equal((await mirrormesh(at(homes.hq, 'ls', 'builds/x@ga'))).status, 5)
    await succeed(at(homes.hq, 'tag', 'builds/x@2', 'ga'))
    assert.equal((await mirrormesh(at(homes.hq, 'ls', 'builds/x@ga:/bin/tool'))).status, 5)
  })

  await t.test('what is not there is exit code 5, what is not allowed 6, what is malformed 2', async () => {
    for (const args of [
      ['ls', 'none'],
      ['ls', 'builds/x@9'],
      ['ls', 'builds/x:/none'],
      ['tree', 'show', 'none'],
      ['publish', '/none', '--tree', 'x'],
    ]) {
      assert.equal((await mirrormesh(at(homes.hq, ...args))).status, 5, args.join(' '))
    }
    const noKey = await mirrormesh(at(homes.a, 'pin', 'add', 'builds/x', '--all'))
    assert.equal(noKey.status, 6, noKey.stderr)
    assert.match(noKey.stderr, /needs the key of an admin/)
    const notPublisher = await mirrormesh(at(homes.a, 'publish', source, '--tree', 'builds/x'))
    assert.equal(notPublisher.status, 6, notPublisher.stderr)
    assert.equal((await mirrormesh(at(homes.a, 'publish', source, '--tree', 'other'))).status, 5)
    for (const args of [
      ['pin', 'add', 'builds/x'],
      ['pin', 'add', 'builds/x', '--all', '--site', 'hq'],
      ['ls', 'B'],
      ['publish', source, '--tree', 'x', '--timeout', 'soon'],
      ['tag', 'builds/x', '7'],
    ]) {
      assert.equal((await mirrormesh(at(homes.hq, ...args))).status, 2, args.join(' '))
    }
  })

  await t.test(
    'waiting for a site that does not keep the tree is refused before anything is published',
    async () => {
      const outcome = await mirrormesh(
        at(homes.hq, 'publish', source, '--tree', 'unpinned', '--wait', 'lab-a', '--timeout', '60s'),
      )
      assert.equal(outcome.status, 5, outcome.stderr)
      assert.match(outcome.stderr, /lab-a does not keep unpinned.*pin add unpinned --site lab-a/)
      const shown = await succeedJson<{ head: unknown }>(at(homes.hq, 'tree', 'show', 'unpinned'))
      assert.equal(shown.head, null)
    },
  )

  await t.test('a single file is a tree too, and what cannot be one makes none', async () => {
    await succeed(at(homes.hq, 'publish', join(source, 'README'), '--tree', 'single'))
    assert.equal(await succeed(at(homes.hq, 'ls', 'single')), '.\n')
    const device = await mirrormesh(at(homes.hq, 'publish', '/dev/null', '--tree', 'device'))
    assert.equal(device.status, 2, device.stderr)
    assert.match(device.stderr, /\/dev\/null is neither a folder nor a file/)
    assert.equal((await mirrormesh(at(homes.hq, 'tree', 'show', 'device'))).status, 5)
  })

  await t.test('a check-out that is in the way can be replaced, and the refusal says so', async () => {
    const again = await mirrormesh(at(homes.a, 'checkout', 'builds/x', join(dir, 'out')))
    assert.equal(again.status, 8, again.stderr)
    assert.match(again.stderr, /--replace/)
  })

  await t.test('waiting for a site that is away ends with 124, and the publication stands', async () => {
    await daemons[2]!.kill()
    await writeFile(join(source, 'third'), 'third\n')
    const outcome = await mirrormesh(
      at(homes.hq, 'publish', source, '--tree', 'builds/x', '--wait', 'all', '--timeout', '2s'),
    )
    assert.equal(outcome.status, 124, outcome.stderr)
    assert.match(outcome.stderr, /builds\/x@3 is published, but not complete at lab-b/)
    const returned = await startDaemon(t, homes.b)
    daemons[2] = returned
    await until('the site that was away catches up', async () =>
      (await returned.status()).trees[0]?.sites.some((each) => each.site === 'lab-b' && each.sequence === 3),
    )
  })

  await t.test('Ctrl-C cancels the job in the daemon, and is exit code 130', async () => {
    const outcome = await mirrormesh(
      at(homes.hq, 'publish', source, '--tree', 'builds/x', '--wait', 'hq,lab-a,late'),
      {},
    )
    assert.equal(outcome.status, 5, 'a site that does not exist is not waited for')
    await daemons[2]!.kill()
    await writeFile(join(source, 'fourth'), 'fourth\n')
    const interrupted = await mirrormesh(
      at(homes.hq, 'publish', source, '--tree', 'builds/x', '--wait', 'all'),
      {
        onStart: (child) => {
          void until('the wait', async () => hq.stderr().includes('"sequence":4')).then(() =>
            child.kill('SIGINT'),
          )
        },
      },
    )
    assert.equal(interrupted.status, 130, interrupted.stderr)
    assert.match(interrupted.stderr, /interrupted/)
    await until('the job is cancelled', async () => hq.stderr().includes('job.cancelled'))
  })

  await t.test('SIGTERM ends a daemon cleanly, and its socket with it', async () => {
    for (const daemon of daemons.slice(0, 2)) assert.equal(await daemon.stop(), 0, daemon.stderr())
    assert.equal((await mirrormesh(at(homes.hq, 'status'))).status, 7)
  })
})

/** Names, types, modes, times, link targets and bytes, by other programs than ours. */
function assertSame(a: string, b: string): void {
  const list = (dir: string): string =>
    execFileSync('find', ['.', '-printf', '%P %y %m %T@ %l\\n'], { cwd: dir, encoding: 'utf8' })
      .split('\n')
      .sort()
      .join('\n')
  assert.equal(list(b), list(a))
  execFileSync('diff', ['-r', '--no-dereference', a, b])
}
