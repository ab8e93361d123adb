/** What admins lend to a node, used at that node: pins, tags, drains and trees without an admin's key, and no more than that. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { PinDocument, TreeDocument } from '../../node/api/answers.ts'
import type { PublishAnswer } from '../../node/api/jobs/job-answers.ts'
import type { GrantDocument } from '../../node/api/routes/grant-routes.ts'
import { createApiClient } from '../../node/cli/api-client.ts'
import { choosePaths } from '../../node/paths.ts'
import { mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

test('a node with grants pins, tags, drains and publishes by itself, until they are taken back', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const homes = { hq: join(dir, 'hq'), lab: join(dir, 'lab') }
  const listen = ['--listen', '127.0.0.1:0', '--http', 'off']
  const at = (home: string, ...args: string[]): string[] => ['--home', home, ...args]
  const source = join(dir, 'source')
  await mkdir(source)
  await writeFile(join(source, 'file'), 'one')
  await succeed(at(homes.hq, 'init', '--mesh', 'acme', '--site', 'hq', '--region', 'us', ...listen))
  await startDaemon(t, homes.hq)
  const token = await succeed(at(homes.hq, 'invite', '--site', 'lab', '--region', 'eu'))
  await succeed(at(homes.lab, 'join', token.trim(), ...listen))
  await startDaemon(t, homes.lab)
  const api = createApiClient({
    paths: choosePaths({ home: homes.lab, env: {}, uid: 0 }),
    self: 'mirrormesh',
  })
  await succeed(at(homes.hq, 'publish', source, '--tree', 'logs/a'))
  await succeed(at(homes.hq, 'publish', source, '--tree', 'builds/x'))
  const known = (tree: string) =>
    until(
      `the lab knows ${tree}`,
      async () => (await mirrormesh(at(homes.lab, 'tree', 'show', tree))).status === 0,
    )
  await known('builds/x')
  await known('logs/a')
  const grantsAtLab = async () =>
    (await succeedJson<{ grants: GrantDocument[] }>(at(homes.lab, 'grant', 'list'))).grants
  const refused = async (pattern: RegExp, ...args: string[]) => {
    const outcome = await mirrormesh(args)
    assert.equal(outcome.status, 6, outcome.stderr)
    assert.match(outcome.stderr, pattern)
  }

  await t.test('without a grant nothing is signed, and the message says what would help', async () => {
    await refused(
      /this needs the key of an admin, .*; and .*no grant makes it operator of the pins of logs\/a[\s\S]*grant add SITE/,
      ...at(homes.lab, 'pin', 'add', 'logs/a', '--site', 'lab'),
    )
    await refused(
      /is not an admin, and no grant/,
      ...at(homes.hq, 'pin', 'add', 'logs/a', '--site', 'lab', '--as-node'),
    )
    const missing = await mirrormesh(at(homes.lab, 'publish', source, '--tree', 'logs/lab'))
    assert.equal(missing.status, 5, missing.stderr)
    assert.match(missing.stderr, /this node no grant/)
  })

  await t.test('an operator pins, tags and drains what its grant names', async () => {
    const text = await succeed(
      at(
        homes.hq,
        'grant',
        'add',
        'lab',
        '--role',
        'operator',
        '--tree',
        'logs/**',
        '--may',
        'pins',
        '--may',
        'tags',
        '--may',
        'drains',
        '--expires',
        '90d',
      ),
    )
    assert.match(text, /^lab: operator of logs\/\*\* for drains, pins, tags until /)
    await until('the lab knows its grant', async () => (await grantsAtLab()).length === 1)
    await succeed(at(homes.lab, 'pin', 'add', 'logs/a', '--site', 'lab'))
    await succeed(at(homes.lab, 'tag', 'logs/a', 'ga'))
    await succeed(at(homes.lab, 'site', 'drain', 'hq', '--note', 'work on the roof'))
    await until('hq knows the pin and the tag', async () => {
      const { pins } = await succeedJson<{ pins: PinDocument[] }>(at(homes.hq, 'pin', 'list'))
      const tree = await succeedJson<TreeDocument>(at(homes.hq, 'tree', 'show', 'logs/a'))
      return pins.length === 1 && tree.tags.length === 1
    })
    await succeed(at(homes.lab, 'site', 'undrain', 'hq'))
    const outside = at(homes.lab, 'pin', 'add', 'builds/x', '--site', 'lab')
    await refused(/no grant makes it operator of the pins of builds\/x/, ...outside)
    await refused(
      /no grant makes it operator of the tags of builds\/x/,
      ...at(homes.lab, 'tag', 'builds/x', 'ga'),
    )
    await refused(/needs the key of an admin/, ...at(homes.lab, 'site', 'label', 'hq', 'mine'))
    await refused(
      /needs the key of an admin/,
      ...at(homes.lab, 'grant', 'add', 'lab', '--role', 'reader', '--tree', '**'),
    )
    const events = await succeed(at(homes.hq, 'events', '--about', 'lab'))
    assert.match(events, /made 12D3KooW\w+ \(lab\) operator of logs\/\*\* for drains, pins, tags, until /)
    assert.match(
      await succeed(at(homes.hq, 'member', 'show', 'lab')),
      /may +operator of logs\/\*\* for drains, pins, tags until .* \(lab\)/,
    )
  })

  await t.test('a publisher creates and publishes trees of its names without an admin', async () => {
    await succeed(
      at(
        homes.hq,
        'grant',
        'add',
        'lab',
        '--role',
        'publisher',
        '--tree',
        'logs/lab-*',
        '--name',
        'logs of the lab',
      ),
    )
    await until('the lab knows its grant', async () => (await grantsAtLab()).length === 2)
    const first = await succeedJson<PublishAnswer>(at(homes.lab, 'publish', source, '--tree', 'logs/lab-1'))
    assert.equal(first.sequence, 1)
    await succeed(at(homes.lab, 'tree', 'create', 'logs/lab-2', '--private'))
    assert.match(await succeed(at(homes.lab, 'tree', 'list')), /logs\/lab-2 \(private\)/)
    await refused(
      /no grant makes it publisher of logs\/other/,
      ...at(homes.lab, 'tree', 'create', 'logs/other'),
    )
    await refused(
      /needs the key of an admin/,
      ...at(homes.lab, 'tree', 'create', 'logs/lab-3', '--publisher', 'hq'),
    )
  })

  await t.test('what was done stays when the grants are taken back, and nothing more is done', async () => {
    const taken = await mirrormesh(at(homes.hq, 'grant', 'revoke', 'lab', '--yes'))
    assert.equal(taken.status, 0, taken.stderr)
    assert.equal(taken.stdout, 'lab: operator no more\nlogs of the lab: publisher no more\n')
    await until('the lab knows', async () => (await grantsAtLab()).every(({ state }) => state === 'removed'))
    await writeFile(join(source, 'file'), 'two')
    const after = await mirrormesh(at(homes.lab, 'publish', source, '--tree', 'logs/lab-1'))
    assert.equal(after.status, 6, after.stderr)
    await refused(/no grant/, ...at(homes.lab, 'pin', 'add', 'logs/b', '--site', 'lab'))
    const { pins } = await succeedJson<{ pins: PinDocument[] }>(at(homes.lab, 'pin', 'list'))
    assert.equal(pins.length, 1)
    assert.equal(
      (await succeedJson<TreeDocument>(at(homes.lab, 'tree', 'show', 'logs/lab-1'))).head?.sequence,
      1,
    )
    assert.equal((await mirrormesh(at(homes.hq, 'grant', 'revoke', 'lab', '--yes'))).status, 5)
    assert.equal(
      (await mirrormesh(at(homes.hq, 'grant', 'add', 'lab', '--role', 'operator', '--tree', 'a'))).status,
      2,
    )
  })

  await t.test('the daemon answers a body that is none with what is wrong', async () => {
    await assert.rejects(
      api.post('/api/v1/operator/records', { kind: 'member', body: 'oA==' }),
      /kind: .*expected one of/,
    )
    await assert.rejects(
      api.post('/api/v1/operator/records', { kind: 'pin', body: 'oA==' }),
      /lacks the field name/,
    )
  })
})
