/** What `publish` and `diff` can be told beside a folder: patterns, dry runs, items. One node, as users run it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { openSync } from 'node:fs'
import { appendFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { DiffLine } from '../../node/api/answers.ts'
import type { DryRunAnswer, PublishAnswer } from '../../node/api/jobs/job-answers.ts'
import { freePort, mirrormesh, startDaemon, succeed, succeedJson } from './program.ts'
import { tempDir } from './temp-dir.ts'

test('patterns, dry runs and diffs with a folder', { timeout: 300_000 }, async (t) => {
  const dir = await tempDir(t)
  const home = join(dir, 'hq')
  const source = join(dir, 'source')
  await mkdir(join(source, 'cache'), { recursive: true })
  await writeFile(join(source, 'kept'), 'kept')
  await writeFile(join(source, 'a.tmp'), 'a')
  await writeFile(join(source, 'cache/x'), 'x')
  const at = (...args: string[]): string[] => ['--home', home, ...args]
  const ports = ['--listen', '127.0.0.1:0', '--http', `127.0.0.1:${await freePort()}`]
  await succeed(at('init', '--mesh', 'acme', '--site', 'hq', '--region', 'us', ...ports))
  const daemon = await startDaemon(t, home)
  const publish = (...args: string[]): Promise<PublishAnswer> =>
    succeedJson<PublishAnswer>(at('publish', source, '--tree', 'x', ...args))
  const names = async (ref: string): Promise<string[]> =>
    (await succeed(at('ls', ref, '--recursive', '--json')).then((text) => JSON.parse(text))).entries.map(
      ({ path }: { path: string }) => path,
    )

  await t.test('a dry run of a tree that does not exist creates none', async () => {
    const outcome = await mirrormesh(at('publish', source, '--tree', 'x', '--dry-run'))
    assert.equal(outcome.status, 5, outcome.stderr)
    assert.deepEqual((await succeedJson<{ trees: unknown[] }>(at('tree', 'list'))).trees, [])
  })

  await t.test(
    'nor does a mistyped option or site; what to look at is said with the same --home',
    async () => {
      for (const [args, status, said] of [
        [['--deltas', 'later'], 2, /--deltas is one of before, along, after, off/],
        [['--note', 'nothing'], 2, /--note is KEY=VALUE/],
        [
          ['--wait', 'hq,nowhere'],
          5,
          /there is no site nowhere to wait for\. See: mirrormesh --home \S+hq site list/,
        ],
      ] as const) {
        const outcome = await mirrormesh(at('publish', source, '--tree', 'x', ...args))
        assert.equal(outcome.status, status, outcome.stderr)
        assert.match(outcome.stderr, said)
      }
      assert.deepEqual((await succeedJson<{ trees: unknown[] }>(at('tree', 'list'))).trees, [])
      const [none, kind] = await Promise.all([
        mirrormesh(at('ls', 'y')),
        mirrormesh(at('events', '--kind', 'heads')),
      ])
      assert.match(none.stderr, /See: mirrormesh --home \S+hq tree list\n/)
      assert.equal(kind.status, 0)
      assert.match(kind.stderr, /knows no kind "heads"; it knows .*, head,/)
    },
  )

  await t.test('patterns leave out, are recorded and remembered, replaced and dropped', async () => {
    const file = join(dir, 'patterns')
    await writeFile(file, '# comment\r\n\r\n*.tmp\r\n')
    const first = await publish('--exclude-from', file, '--exclude', '/cache/')
    assert.deepEqual(first.ignore, ['*.tmp', '/cache/'])
    assert.deepEqual(await names('x@1'), ['kept'])
    const again = await publish()
    assert.deepEqual([again.sequence, again.isNew, again.ignore], [1, false, ['*.tmp', '/cache/']])
    const text = await mirrormesh(at('publish', source, '--tree', 'x'))
    assert.match(text.stderr, /left out by pattern: \*\.tmp, \/cache\//)
    const other = await publish('--exclude', '*.tmp')
    assert.deepEqual([other.sequence, other.files], [2, 2])
    const none = await publish('--no-exclude')
    assert.deepEqual([none.sequence, none.files, none.ignore], [3, 3, []])
    assert.deepEqual([(await publish()).sequence, (await publish()).files], [3, 3])
    for (const args of [
      ['--no-exclude', '--exclude', 'a'],
      ['--exclude', 'a', '--no-exclude', '--exclude-from', file],
      ['--exclude', '#'],
      ['--exclude-from', join(dir, 'absent')],
    ]) {
      const outcome = await mirrormesh(at('publish', source, '--tree', 'x', ...args))
      assert.ok(outcome.status === 2 || outcome.status === 5, `${args.join(' ')}: ${outcome.stderr}`)
    }
  })

  await t.test(
    'tree set says nothing without being told what, and the mesh is written as JSON too',
    async () => {
      const version = async () => (await succeedJson<{ version: number }>(at('tree', 'show', 'x'))).version
      const before = await version()
      const outcome = await mirrormesh(at('tree', 'set', 'x'))
      assert.equal(outcome.status, 2, outcome.stderr)
      assert.match(outcome.stderr, /say what to change/)
      assert.equal(await version(), before)
      const file = join(dir, 'mesh.json')
      await writeFile(file, await succeed(at('mesh', 'export', '--json')))
      const { mesh, trees } = JSON.parse(await readFile(file, 'utf8'))
      assert.deepEqual([mesh, Object.keys(trees)], ['acme', ['x']])
      assert.match(await succeed(at('mesh', 'plan', file)), /nothing/)
    },
  )

  await t.test('a pin that takes the place of another says what is gone', async () => {
    const pin = (...args: string[]) => mirrormesh(at('pin', 'add', 'x', '--site', 'hq', ...args))
    assert.equal((await pin('--keep-last', '4', '--checkout', join(dir, 'out'))).stderr, '')
    assert.equal((await pin('--checkout', join(dir, 'out'), '--keep-last', '4')).stderr, '')
    assert.match(
      (await pin('--priority', '7')).stderr,
      /place of the pin that was there \(check-out \S+out; keeps last 4\)\. What lies at \S+out stays as it is\./,
    )
    await succeed(at('pin', 'remove', 'x', '--site', 'hq'))
  })

  await t.test('output that cannot be written is an error, with its reason', async () => {
    const { stderr, status } = spawnSync(
      process.execPath,
      [join(import.meta.dirname, '../../node/main.ts'), ...at('tree', 'list')],
      { stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'], encoding: 'utf8' },
    )
    assert.equal(status, 9, stderr)
    assert.match(stderr, /write the output: .*no space left/)
  })

  await t.test('a dry run counts what is new, itemises it and stores nothing', async () => {
    await appendFile(join(source, 'kept'), ' and more')
    await writeFile(join(source, 'new\nname'), Buffer.alloc(100_000, 'new'))
    await rm(join(source, 'a.tmp'))
    const dry = await succeedJson<DryRunAnswer>(at('publish', source, '--tree', 'x', '--dry-run'))
    assert.deepEqual([dry.isDryRun, dry.isNew, dry.sequence, dry.files], [true, true, 4, 3])
    assert.ok(dry.newBlocks >= 3 && dry.newBytes > 0, JSON.stringify(dry))
    const text = await succeed(at('publish', source, '--tree', 'x', '-n', '-i'))
    assert.deepEqual(text.split('\n').slice(0, 4), [
      '.d..t...... ./',
      '*deleting   a.tmp',
      '>f.st...... kept',
      '>f+++++++++ new\\x0aname',
    ])
    assert.match(text, /x: would become x@4\n3 files/)
    const again = await succeedJson<DryRunAnswer>(at('publish', source, '--tree', 'x', '--dry-run'))
    assert.deepEqual([again.newBlocks, again.newBytes], [dry.newBlocks, dry.newBytes])
    const inPlace = await succeedJson<DryRunAnswer>(at('publish', source, '--tree', 'x', '-n', '--in-place'))
    assert.deepEqual([inPlace.isDryRun, inPlace.newBlocks], [true, dry.newBlocks])
    assert.deepEqual((await succeedJson<{ backings: unknown[] }>(at('store', 'backings'))).backings, [])
    const real = await publish()
    assert.deepEqual([real.sequence, real.newBlocks, real.blocks], [4, dry.newBlocks, dry.blocks])
    const after = await succeedJson<DryRunAnswer>(at('publish', source, '--tree', 'x', '--dry-run'))
    assert.deepEqual([after.isNew, after.sequence], [false, 4])
    // Within seconds of an edit the folder is read again: then the snapshot's own block, which has a time in it, counts.
    assert.ok(after.newBlocks <= 1, `${after.newBlocks} new blocks`)
    assert.equal((await mirrormesh(at('publish', source, '--tree', 'x', '-n', '--wait', 'all'))).status, 2)
    assert.equal((await mirrormesh(at('publish', source, '--tree', 'x', '-i'))).status, 2)
  })

  await t.test('diff itemises snapshots and folders', async () => {
    assert.equal(
      await succeed(at('diff', 'x@3', 'x@4', '-i')),
      '.d..t...... ./\n*deleting   a.tmp\n>fcst...... kept\n>f+++++++++ new\\x0aname\n',
    )
    assert.equal(await succeed(at('diff', 'x', '--dir', source)), '')
    assert.match(await succeed(at('diff', 'x@1', '--dir', source)), /^m \.\nM kept\n\+ new\\x0aname\n$/)
    const { changes, to } = await succeedJson<{ changes: DiffLine[]; to: { dir: string } }>(
      at('diff', 'x@3', '--dir', source, '--checksum'),
    )
    assert.deepEqual(to, { dir: source })
    assert.deepEqual(
      changes.map(({ items }) => items),
      ['.d..t......', '*deleting  ', '>fcst......', '>f+++++++++'],
    )
    for (const [args, status] of [
      [['x@3', 'x@4', '--dir', source], 2],
      [['x@3', '--checksum'], 2],
      [['x', '--dir', join(dir, 'absent')], 5],
      [['x@99', '--dir', source], 5],
    ] as const) {
      assert.equal((await mirrormesh(at('diff', ...args))).status, status, args.join(' '))
    }
  })

  // Beside it lies what the gateway has pulled through.
  assert.equal((await readdir(join(home, 'cache'))).filter((name) => name !== 'pulled').length, 1)
  assert.equal(await daemon.stop(), 0)
})
