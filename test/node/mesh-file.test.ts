/** A mesh kept in a file: exported, planned, applied, on a real daemon; and what a file may not say. */
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { PinDocument } from '../../node/api/answers.ts'
import type { MeshPlan } from '../../node/declare/mesh-changes.ts'
import { parseMeshFile } from '../../node/declare/mesh-file.ts'
import { foundMesh } from './founded-mesh.ts'
import { mirrormesh, startDaemon, succeed, succeedJson } from './program.ts'
import { tempDir } from './temp-dir.ts'

test('a fault in the file is told with its line', () => {
  for (const [text, expected] of [
    [
      'mesh: acme\ntrees:\n  builds/x: { publisher: hq, colour: red }\n',
      /f\.yaml:3: trees\.builds\/x: Unrecognized key.*colour/,
    ],
    [
      'pins:\n  - { tree: x, all: true, site: hq }\n',
      /f\.yaml:2: pins\.0: names one of all: true, label, region and site/,
    ],
    ['pins:\n  - { tree: x, site: hq, versions: 3 }\n', /f\.yaml:2: pins\.0: has versions and no checkout/],
    ['pins:\n  - { tree: X, site: hq }\n', /f\.yaml:2: pins\.0\.tree: is not a tree or pattern/],
    ['topology:\n  regions: { eu: { up: fast } }\n', /f\.yaml, topology:\d: regions\.eu\.up/],
    [
      'grants:\n  - { name: x, to: hq, role: reader, trees: [a], may: [pins] }\n',
      /f\.yaml:2: grants\.0: has "may" exactly/,
    ],
    ['grants:\n  - { name: x, to: hq, role: king, trees: [a] }\n', /f\.yaml:2: grants\.0\.role: /],
    ['trees: [\n', /f\.yaml:\d: /],
  ] as const)
    assert.throws(() => parseMeshFile(text, 'f.yaml'), expected)
})

test('a mesh becomes what a file says, and an exported one changes nothing', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const home = join(dir, 'hq')
  const file = join(dir, 'mesh.yaml')
  const at = (...args: string[]): string[] => ['--home', home, ...args]
  await foundMesh(home, { mesh: 'acme' })
  await startDaemon(t, home)
  const planOf = (...args: string[]) => succeedJson<MeshPlan>(at('mesh', 'plan', file, ...args))
  await mkdir(join(dir, 'source'))
  await writeFile(join(dir, 'source/file'), 'one')
  await succeed(at('publish', join(dir, 'source'), '--tree', 'old'))
  await succeed(at('pin', 'add', 'old', '--region', 'us'))

  await writeFile(
    file,
    [
      'mesh: acme',
      'members: { hq: { region: us }, lab: { region: eu } }',
      'trees:',
      '  builds/x: { publisher: hq, tags: { ga: 4 } }',
      '  builds/y: { publisher: lab }',
      'pins:',
      '  - { tree: builds/*, region: eu, checkout: /srv/builds, versions: 3, keep: { last: 5, days: 30 } }',
      'topology:',
      '  regions: { us: { up: 1 Gbit/s, down: 1 Gbit/s } }',
      '',
    ].join('\n'),
  )
  const first = await planOf()
  assert.deepEqual(
    first.changes.map(({ text }) => text),
    [
      '+ tree builds/x, published by hq',
      '+ pin builds/* in region eu, checked out at /srv/builds, 3 versions, keeps the last 5, keeps 30 days',
      '~ topology: region us',
    ],
  )
  assert.deepEqual(first.notes.toSorted(), [
    'builds/x@ga is to be @4, which is not published yet',
    'builds/y is to be published by lab, which is no member yet',
    'lab is not a member yet: mirrormesh invite create --site lab --region eu',
    'the pin of old in region us is not in the file; --prune removes it',
    'the tree old is not in the file; --prune deletes it',
  ])
  assert.equal((await mirrormesh(at('mesh', 'plan', file, '--check'))).status, 4)
  assert.equal((await mirrormesh(at('mesh', 'apply', file))).status, 6)

  await succeed(at('pin', 'add', 'old', '--all'))
  const stale = await mirrormesh(at('mesh', 'apply', file, '--plan', first.id))
  assert.equal(stale.status, 8, stale.stderr)
  assert.match(stale.stderr, /the mesh or the file has changed/)
  const { id } = await planOf('--prune')
  assert.match(await succeed(at('mesh', 'apply', file, '--prune', '--plan', id)), /^6 changes made\n$/)
  assert.deepEqual((await planOf('--prune')).changes, [])
  const { pins } = await succeedJson<{ pins: PinDocument[] }>(at('pin', 'list'))
  assert.deepEqual(
    pins.map(({ tree, sites, checkout, versions, keep }) => [tree, sites, checkout, versions, keep]),
    [['builds/*', { region: 'eu' }, '/srv/builds', 3, { last: 5, days: 30 }]],
  )

  await succeed(at('publish', join(dir, 'source'), '--tree', 'builds/x'))
  await succeed(at('tag', 'builds/x', 'ga'))
  await succeed(at('mesh', 'export', '--out', file))
  assert.match(await readFile(file, 'utf8'), /builds\/x:\n {4}publisher: hq\n {4}tags:\n {6}ga: 1\n/)
  const same = await planOf('--prune')
  assert.deepEqual([same.changes, same.notes], [[], []])
  await writeFile(
    file,
    [
      'grants:',
      '  - { name: desk, to: hq, role: operator, trees: [logs/*, builds/**], may: [tags, pins], until: 2031-02-03T04:05:06Z }',
      '  - { name: gone, to: lab, role: reader, trees: ["**"] }',
      'trees: { builds/x: { publisher: hq, readers: granted }, builds/z: { publisher: hq, readers: granted } }',
    ].join('\n'),
  )
  const granted = await planOf()
  assert.deepEqual(granted.changes.map(({ text }) => text).toSorted(), [
    '+ grant desk, operator of builds/**, logs/* for pins, tags, until 2031-02-03T04:05:06.000Z',
    '+ tree builds/z, published by hq',
    '~ tree builds/x, readers granted',
    '~ tree builds/z, readers granted',
  ])
  assert.match(granted.notes.join(), /gone is to be reader and lab is no member yet/)
  await succeed(at('mesh', 'apply', file, '--plan', granted.id))
  assert.deepEqual((await planOf()).changes, [])
  await succeed(at('mesh', 'export', '--out', file))
  const exported = await readFile(file, 'utf8')
  assert.match(exported, /grants:\n {2}- name: desk\n {4}to: hq\n {4}role: operator\n/)
  assert.match(exported, /builds\/z:\n {4}publisher: hq\n {4}readers: granted\n/)
  assert.deepEqual([(await planOf('--prune')).changes, (await planOf('--prune')).notes], [[], []])
  await writeFile(file, 'grants: []\ntrees: { builds/x: { publisher: hq, readers: members } }\n')
  assert.equal((await planOf()).changes.length, 1)
  assert.match((await planOf()).notes.join(), /the grant desk, .* is not in the file/)
  await writeFile(file, 'grants: []\n')
  await succeed(at('mesh', 'apply', file, '--prune', '--yes'))
  assert.equal((await succeed(at('grant', 'list'))).trim().split('\n').length, 1)
  await writeFile(file, 'mesh: other\n')
  assert.equal((await mirrormesh(at('mesh', 'apply', file, '--yes'))).status, 8)
})
