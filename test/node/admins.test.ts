/** The keys that speak for a mesh, on a real daemon: several that must agree, one that is stolen, one that is lost. */
import assert from 'node:assert/strict'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { PublishAnswer } from '../../node/api/jobs/job-answers.ts'
import type { AdminsDocument } from '../../node/api/schema/member-answers.ts'
import { foundMesh } from './founded-mesh.ts'
import { mirrormesh, type Outcome, startDaemon, succeed, succeedJson } from './program.ts'
import { tempDir } from './temp-dir.ts'

test('admins are added and removed by as many of them as must agree, or by the recovery key', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const home = join(dir, 'hq')
  const file = (name: string): string => join(dir, name)
  const at = (...args: string[]): string[] => ['--home', home, ...args]
  const made = await foundMesh(home, { mesh: 'acme' })
  await startDaemon(t, home)
  const admins = () => succeedJson<AdminsDocument>(at('admin', 'list'))
  const first = (await admins()).keys[0]!
  const [b, c, d] = await Promise.all(
    ['b', 'c', 'd'].map(async (name) => (await succeed(at('admin', 'new-key', file(name)))).trim()),
  )
  const propose = (...args: string[]): Promise<Outcome> =>
    mirrormesh(at('admin', 'propose', '--yes', '--out', file('proposal'), ...args))

  await t.test('a key is for its owner alone, and is never written over', async () => {
    assert.equal((await stat(file('b'))).mode & 0o777, 0o600)
    const again = await mirrormesh(at('admin', 'new-key', file('b')))
    assert.equal(again.status, 8, again.stderr)
  })

  await t.test('a key under a passphrase signs for who knows it', async () => {
    const passphrase = (text: string) => writeFile(file('passphrase'), `${text}\n`, { mode: 0o600 })
    const env = { MIRRORMESH_PASSPHRASE_FILE: file('passphrase') }
    await passphrase('short')
    assert.equal((await mirrormesh(at('admin', 'protect'), { env })).status, 2)
    await passphrase('correct horse battery')
    const done = await mirrormesh(at('admin', 'protect'), { env })
    assert.equal(done.status, 0, done.stderr)
    const alone = await mirrormesh(at('tree', 'create', 'builds/z'))
    assert.equal(alone.status, 6, alone.stderr)
    assert.match(alone.stderr, /MIRRORMESH_PASSPHRASE_FILE/)
    await passphrase('wrong horse battery')
    assert.equal((await mirrormesh(at('tree', 'create', 'builds/z'), { env })).status, 6)
    await passphrase('correct horse battery')
    const made = await mirrormesh(at('tree', 'create', 'builds/z'), { env })
    assert.equal(made.status, 0, made.stderr)
    assert.equal((await mirrormesh(at('admin', 'protect', '--remove'), { env })).status, 0)
    await succeed(at('tree', 'delete', 'builds/z', '--yes'))
  })

  await t.test('one admin makes it three, of whom two must agree', async () => {
    const outcome = await propose('--add', b!, '--add', c!, '--threshold', '2')
    assert.equal(outcome.status, 0, outcome.stderr)
    const { keys, threshold } = await admins()
    assert.deepEqual([keys.toSorted(), threshold], [[first, b, c].toSorted(), 2])
  })

  await t.test('one stolen key cannot throw out the others', async () => {
    const alone = await propose('--remove', b!, '--remove', c!)
    assert.equal(alone.status, 6, alone.stderr)
    assert.match(alone.stderr, /2 admins must agree to this, and 1 would sign it.*--cosigner/s)
    const withStranger = await propose('--remove', b!, '--cosigner', d!)
    assert.equal(withStranger.status, 6, withStranger.stderr)
    assert.match(withStranger.stderr, /is no admin/)
    const recovery = await propose('--new-recovery', d!, '--cosigner', b!)
    assert.equal(recovery.status, 6, recovery.stderr)
    assert.equal((await admins()).keys.length, 3)
  })

  await t.test('a proposal counts when each of those it names has signed it', async () => {
    const outcome = await propose('--remove', c!, '--cosigner', b!)
    assert.equal(outcome.status, 0, outcome.stderr)
    assert.equal(outcome.stdout.trim(), file('proposal'))
    const early = await mirrormesh(at('admin', 'submit', file('proposal')))
    assert.equal(early.status, 6, early.stderr)
    assert.ok(early.stderr.includes(b!), early.stderr)
    const wrong = await mirrormesh(at('admin', 'sign', file('proposal'), '--key', file('c'), '--yes'))
    assert.equal(wrong.status, 6, wrong.stderr)
    const asked = await mirrormesh(at('admin', 'sign', file('proposal'), '--key', file('b')))
    assert.equal(asked.status, 6, asked.stderr)
    assert.match(asked.stderr, /by 12D3KooW\w+: made 12D3KooW\w+, 12D3KooW\w+ the admins, 2 of them to agree/)

    const text = await readFile(file('proposal'), 'utf8')
    const { payload } = JSON.parse(text) as { payload: string }
    const other = Buffer.from(payload, 'base64')
    const at0 = other.indexOf('threshold') + 'threshold'.length
    other[at0] = 1
    await writeFile(file('forged'), text.replace(payload, other.toString('base64')))
    const forged = await mirrormesh(at('admin', 'sign', file('forged'), '--key', file('b'), '--yes'))
    assert.equal(forged.status, 1, forged.stderr)
    assert.match(forged.stderr, /the signature by 12D3KooW\w+ is wrong/)

    await succeed(at('admin', 'sign', file('proposal'), '--key', file('b'), '--yes'))
    const { keys, threshold } = await admins()
    assert.deepEqual([keys.toSorted(), threshold], [[first, b].toSorted(), 2])
    const back = await propose('--add', c!, '--cosigner', b!)
    assert.equal(back.status, 0, back.stderr)
    const refused = await mirrormesh(at('admin', 'sign', file('proposal'), '--key', file('b'), '--yes'))
    assert.equal(refused.status, 6, refused.stderr)
    assert.match(refused.stderr, /it cannot return/)
  })

  await t.test('a tree is deleted, and comes back with its history', async () => {
    const source = file('source')
    await mkdir(source)
    await writeFile(join(source, 'file'), 'one')
    await succeed(at('publish', source, '--tree', 'builds/y'))
    const unsaid = await mirrormesh(at('tree', 'delete', 'builds/y'))
    assert.equal(unsaid.status, 6, unsaid.stderr)
    assert.match(unsaid.stderr, /builds\/y, 3 B, kept at 1 site: hq/)
    await succeed(at('tree', 'delete', 'builds/y', '--yes'))
    assert.equal((await mirrormesh(at('tree', 'show', 'builds/y'))).status, 5)
    assert.equal((await mirrormesh(at('tree', 'delete', 'builds/y', '--yes'))).status, 5)
    await succeed(at('tree', 'create', 'builds/y'))
    await writeFile(join(source, 'file'), 'two')
    const { sequence } = await succeedJson<PublishAnswer>(at('publish', source, '--tree', 'builds/y'))
    assert.equal(sequence, 2)
    assert.equal(await succeed(at('get', 'builds/y@1:/file', '-')), 'one')
  })

  await t.test(
    'the recovery key replaces them all, and what they sign from then on has no effect',
    async () => {
      const outcome = await propose(
        '--recovery',
        made.recoveryKey,
        '--remove',
        first,
        '--remove',
        b!,
        '--add',
        d!,
        '--threshold',
        '1',
      )
      assert.equal(outcome.status, 0, outcome.stderr)
      assert.deepEqual((await admins()).keys, [d])
      const late = await mirrormesh(at('tree', 'create', 'builds/x'))
      assert.equal(late.status, 6, late.stderr)
      assert.match(late.stderr, /has left the admins/)
      const notRecovery = await propose('--recovery', file('d'), '--add', b!)
      assert.equal(notRecovery.status, 6, notRecovery.stderr)
    },
  )
})
