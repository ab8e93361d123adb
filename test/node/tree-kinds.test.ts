/** Kinds of trees, their gates, and what stays of them, on a daemon with an admin's key. */
import assert from 'node:assert/strict'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TreeDocument } from '../../node/api/answers.ts'
import type { DropVersionsAnswer, PublishAnswer } from '../../node/api/jobs/job-answers.ts'
import { foundMesh } from './founded-mesh.ts'
import { mirrormesh, startDaemon, succeed, succeedJson } from './program.ts'
import { tempDir } from './temp-dir.ts'

test('trees of each kind are published by their rules', { timeout: 300_000 }, async (t) => {
  const dir = await tempDir(t)
  const home = join(dir, 'hq')
  const at = (...args: string[]): string[] => ['--home', home, ...args]
  const refused = async (expected: RegExp, ...args: string[]): Promise<void> => {
    const { status, stderr } = await mirrormesh(at(...args))
    assert.equal(status, 6, stderr)
    assert.match(stderr, expected)
  }
  await foundMesh(home, { mesh: 'acme' })
  await startDaemon(t, home)

  await t.test('a snapshot tree takes what its gate lets through', async () => {
    const source = join(dir, 'build')
    await mkdir(source)
    await writeFile(join(source, 'image'), 'half')
    assert.equal((await mirrormesh(at('tree', 'create', 'builds/x', '--kind', 'snapshot'))).status, 2)
    await succeed(at('tree', 'create', 'builds/x', '--kind', 'snapshot', '--gate-file', 'STATUS=FINISHED'))
    await refused(
      /the gate of builds\/x is closed: there is no STATUS/,
      'publish',
      source,
      '--tree',
      'builds/x',
    )
    assert.equal((await succeedJson<TreeDocument>(at('tree', 'show', 'builds/x'))).head, null)
    await writeFile(join(source, 'STATUS'), 'FINISHED\n')
    const { sequence } = await succeedJson<PublishAnswer>(at('publish', source, '--tree', 'builds/x'))
    assert.equal(sequence, 1)
    await writeFile(join(source, 'STATUS'), 'BROKEN\n')
    await refused(/STATUS says "BROKEN" and not "FINISHED"/, 'publish', source, '--tree', 'builds/x')
    assert.match(
      await succeed(at('tree', 'show', 'builds/x')),
      /kind {7}snapshot\ngate {7}published when the first line of STATUS is "FINISHED"/,
    )
    assert.match(
      await succeed(at('tree', 'set', 'builds/x', '--kind', 'simple', '--no-gate')),
      /builds\/x: simple\n/,
    )
    assert.equal((await succeedJson<PublishAnswer>(at('publish', source, '--tree', 'builds/x'))).sequence, 2)
  })

  await t.test('versions come one by one, never change, and go as a whole', async () => {
    const publish = (name: string, ...args: string[]): string[] =>
      at('publish', join(dir, name), '--tree', 'builds/os', ...args)
    for (const name of ['a', 'b']) {
      await mkdir(join(dir, name))
      await writeFile(join(dir, name, 'kernel'), `kernel of ${name}`)
    }
    await succeed(at('tree', 'create', 'builds/os'))
    await refused(/builds\/os is not a tree of versions/, ...publish('a', '--as', '13.1').slice(2))
    await succeed(at('tree', 'set', 'builds/os', '--kind', 'versioned'))
    await succeed(publish('a', '--as', '13.1'))
    const two = await succeedJson<PublishAnswer>(publish('b', '--as', '13.2'))
    assert.deepEqual([two.sequence, two.files], [2, 2])
    assert.equal((await succeedJson<PublishAnswer>(publish('b', '--as', '13.2'))).isNew, false)
    await refused(
      /version 13.1 of builds\/os is published, and would change/,
      ...publish('b', '--as', '13.1').slice(2),
    )
    assert.equal((await mirrormesh(publish('b', '--as', '../13'))).status, 2)

    const out = join(dir, 'out')
    await succeed(at('checkout', 'builds/os', out))
    assert.deepEqual((await readdir(out)).toSorted(), ['13.1', '13.2'])
    assert.equal((await mirrormesh(at('tree', 'drop', 'builds/os', '12', '--yes'))).status, 5)
    const dropped = await succeedJson<DropVersionsAnswer>(at('tree', 'drop', 'builds/os', '13.1', '--yes'))
    assert.deepEqual([dropped.sequence, dropped.dropped], [3, ['13.1']])
    await rm(out, { recursive: true })
    await succeed(at('checkout', 'builds/os', out))
    assert.deepEqual(await readdir(out), ['13.2'])
    // It is gone: its name is free again.
    await succeed(publish('b', '--as', '13.1'))
    await refused(/builds\/x has no versions/, 'tree', 'drop', 'builds/x', 'image', '--yes')
  })

  await t.test('what stays is said for the tree; a file of the mesh says all of it', async () => {
    assert.match(await succeed(at('tree', 'retain', 'builds/os', '--last', '1')), /sites keep the newest 1\n/)
    const { dropped } = await succeedJson<{ dropped: { tree: string }[] }>(at('gc', '--dry-run'))
    assert.ok(dropped.filter(({ tree }) => tree === 'builds/os').length >= 2)
    const exported = join(dir, 'mesh.yaml')
    await succeed(at('mesh', 'export', '--out', exported))
    assert.match(await succeed(at('mesh', 'plan', exported)), /nothing changes/)
    await succeed(at('tree', 'retain', 'builds/os', '--as-sites-say'))
    await succeed(at('tree', 'set', 'builds/os', '--kind', 'simple', '--gate-repository', 'deb'))
    assert.match(
      await succeed(at('mesh', 'plan', exported)),
      /tree builds\/os, kind versioned, keep {"last":1}/,
    )
    await succeed(at('mesh', 'apply', exported, '--yes'))
    const { kind, keep, gate } = await succeedJson<TreeDocument>(at('tree', 'show', 'builds/os'))
    assert.deepEqual([kind, keep, gate], ['versioned', { last: 1 }, { repository: 'deb' }])
  })

  await t.test('a tree that comes back from deletion is of the kind that it was', async () => {
    await succeed(at('tree', 'delete', 'builds/os', '--yes'))
    await succeed(at('tree', 'create', 'builds/os'))
    assert.equal((await succeedJson<TreeDocument>(at('tree', 'show', 'builds/os'))).kind, 'versioned')
  })
})
