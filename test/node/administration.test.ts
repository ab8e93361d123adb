/** An admin's day on real processes: audit, rollback, hand-over, a fork and its end, a member thrown out and replaced. */
import assert from 'node:assert/strict'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TreeDocument } from '../../node/api/answers.ts'
import type { PublishAnswer, RollBackAnswer, WaitAnswer } from '../../node/api/jobs/job-answers.ts'
import type { InviteDocument, MemberDocument, RecordDocument } from '../../node/api/schema/member-answers.ts'
import { freePort, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/x'

test('an admin reads who said what, steers a tree through a fork, and throws a member out', {
  timeout: 400_000,
}, async (t) => {
  const dir = await tempDir(t)
  const homes = { hq: join(dir, 'hq'), lab: join(dir, 'lab'), backup: join(dir, 'backup') }
  const out = join(dir, 'out')
  // Of fixed ports: after both have been away they find each other where they were.
  const listen = { hq: await freePort(), lab: await freePort() }
  const place = (port: number): string[] => ['--listen', `127.0.0.1:${port}`, '--http', 'off']
  const at = (home: string, ...args: string[]): string[] => ['--home', home, ...args]
  const publish = async (home: string, text: string): Promise<PublishAnswer> => {
    const source = join(dir, `source-${text}`)
    await mkdir(source, { recursive: true })
    await writeFile(join(source, 'file'), text)
    // A publisher that came back from a backup does not hold the snapshot before, nor what was left out of it.
    return succeedJson<PublishAnswer>(at(home, 'publish', source, '--tree', TREE, '--no-exclude'))
  }
  const readTree = (home: string) => succeedJson<TreeDocument>(at(home, 'tree', 'show', TREE))
  const isHead = (home: string, sequence: number) =>
    until(
      `@${sequence} is the head at ${home}`,
      async () => (await readTree(home)).head?.sequence === sequence,
    )

  await succeed(at(homes.hq, 'init', '--mesh', 'acme', '--site', 'hq', '--region', 'us', ...place(listen.hq)))
  let hq = await startDaemon(t, homes.hq)
  const token = await succeed(at(homes.hq, 'invite', '--site', 'lab', '--region', 'eu'))
  await succeed(at(homes.lab, 'join', token.trim(), ...place(listen.lab)))
  let lab = await startDaemon(t, homes.lab)
  await succeed(at(homes.hq, 'tree', 'create', TREE, '--publisher', 'lab'))
  await succeed(at(homes.hq, 'pin', 'add', TREE, '--site', 'hq', '--checkout', out))
  await until(
    'the lab knows its tree',
    async () => (await mirrormesh(at(homes.lab, 'tree', 'show', TREE))).status === 0,
  )

  await t.test('a rollback is a new head with an old snapshot, and sites follow it', async () => {
    const first = await publish(homes.lab, 'one')
    await publish(homes.lab, 'two')
    const reads = (text: string) =>
      until(
        `the check-out says ${text}`,
        async () => (await readFile(join(out, 'file'), 'utf8').catch(() => '')) === text,
      )
    await reads('two')
    const back = await succeedJson<RollBackAnswer>(at(homes.lab, 'tree', 'rollback', `${TREE}@1`))
    assert.deepEqual(
      [back.sequence, back.ofSequence, back.snapshot, back.isNew],
      [3, 1, first.snapshot, true],
    )
    await reads('one')
    assert.match(
      await succeed(at(homes.lab, 'tree', 'rollback', `${TREE}@1`)),
      /@3 is the head, and has the snapshot of @1 already/,
    )
    const waited = await succeedJson<WaitAnswer>(
      at(homes.lab, 'wait', TREE, '--sites', 'hq', '--timeout', '60s'),
    )
    assert.deepEqual([waited.sequence, waited.sites], [3, ['hq']])
    const inVain = await mirrormesh(at(homes.hq, 'wait', `${TREE}@1`, '--sites', 'lab', '--timeout', '60s'))
    assert.equal(inVain.status, 5, inVain.stderr)
    assert.match(inVain.stderr, /lab does not keep builds\/x: no pin names it/)
    const elsewhere = await mirrormesh(at(homes.hq, 'tree', 'rollback', `${TREE}@1`))
    assert.equal(elsewhere.status, 6, elsewhere.stderr)
    assert.match(elsewhere.stderr, /Its publisher is lab \(12D3KooW\w+\): publish there/)
    assert.equal((await mirrormesh(at(homes.lab, 'tree', 'rollback', `${TREE}@9`))).status, 5)
    assert.equal((await mirrormesh(at(homes.lab, 'tree', 'rollback', TREE))).status, 2)
  })

  await t.test('events say who did what by which key; members and invites are listed', async () => {
    const lines = (await succeed(at(homes.hq, 'events', '--json'))).trim().split('\n')
    const events = lines.map((line) => JSON.parse(line) as RecordDocument)
    const said = events.map(
      ({ kind, issuerSite, isAdmin }) => `${kind} by ${isAdmin ? 'an admin' : issuerSite}`,
    )
    assert.deepEqual(said.toSorted(), [
      'epoch by an admin',
      'genesis by an admin',
      'head by lab',
      'head by lab',
      'head by lab',
      'invite by an admin',
      'member by an admin',
      'member by hq',
      'pin by an admin',
      'tree by an admin',
    ])
    const times = events.map(({ timeMs }) => timeMs)
    assert.deepEqual(
      times,
      times.toSorted((a, b) => b - a),
    )
    const heads = await succeed(at(homes.hq, 'events', '--kind', 'head', '--about', TREE, '--limit', '2'))
    assert.equal(heads.trim().split('\n').length, 3, heads)
    assert.match(heads, /lab .*published builds\/x@3, snapshot \w+\n.*published builds\/x@2/)
    const { members } = await succeedJson<{ members: MemberDocument[] }>(at(homes.hq, 'member', 'list'))
    assert.deepEqual(
      members.map(({ site, region, state, isConnected, publishes }) => [
        site,
        region,
        state,
        isConnected,
        publishes,
      ]),
      [
        ['hq', 'us', 'active', true, []],
        ['lab', 'eu', 'active', true, [TREE]],
      ],
    )
    assert.match(
      await succeed(at(homes.hq, 'member', 'show', 'lab')),
      /admitted by hq by an invite\npublishes {2}builds\/x/,
    )
    const { invites } = await succeedJson<{ invites: InviteDocument[] }>(at(homes.hq, 'invite', 'list'))
    assert.deepEqual(
      invites.map(({ site, state, usedBy }) => [site, state, usedBy]),
      [['lab', 'used', members[1]!.peer]],
    )
  })

  await t.test('an invite that went astray is taken back', async () => {
    const astray = await succeed(at(homes.hq, 'invite', 'create', '--site', 'spare', '--region', 'eu'))
    await succeed(at(homes.hq, 'invite', 'revoke', 'spare'))
    const thief = await mirrormesh(at(join(dir, 'thief'), 'join', astray.trim(), ...place(0)))
    assert.equal(thief.status, 6, thief.stderr)
    assert.match(thief.stderr, /the invite was withdrawn|no open invite|not a member/)
    assert.equal((await mirrormesh(at(homes.hq, 'invite', 'revoke', 'spare'))).status, 5)
    const used = await mirrormesh(at(homes.hq, 'invite', 'revoke', 'lab'))
    assert.equal(used.status, 8, used.stderr)
    assert.match(used.stderr, /member revoke lab/)
  })

  await t.test('a tree handed over is published by the other, after its head', async () => {
    await succeed(at(homes.hq, 'tree', 'hand-over', TREE, '--publisher', 'hq'))
    const next = await publish(homes.hq, 'three')
    assert.deepEqual([next.epoch, next.sequence], [2, 4])
    await isHead(homes.lab, 4)
    const late = await mirrormesh(at(homes.lab, 'publish', join(dir, 'source-two'), '--tree', TREE))
    assert.equal(late.status, 6, late.stderr)
    assert.equal((await mirrormesh(at(homes.hq, 'tree', 'hand-over', TREE, '--publisher', 'hq'))).status, 8)
  })

  await t.test(
    'a publisher restored from an old backup forks the tree; an admin chooses the branch that stays',
    async () => {
      await hq.stop()
      await cp(homes.hq, homes.backup, { recursive: true })
      hq = await startDaemon(t, homes.hq)
      const kept = await publish(homes.hq, 'kept')
      await isHead(homes.lab, 5)
      await hq.stop()
      await lab.stop()
      // Nobody is there who could tell it of its own later head.
      hq = await startDaemon(t, homes.backup)
      const lost = await publish(homes.backup, 'lost')
      assert.deepEqual([kept.sequence, lost.sequence], [5, 5])
      lab = await startDaemon(t, homes.lab)
      for (const home of [homes.backup, homes.lab]) {
        const tree = await until(`${home} knows of the fork`, async () => {
          const found = await readTree(home)
          return found.fork === null ? undefined : found
        })
        assert.deepEqual([tree.head?.sequence, tree.fork?.kind, tree.fork?.sequence], [4, 'heads', 5])
        assert.deepEqual(
          tree.fork?.tips.map(({ snapshot }) => snapshot).toSorted(),
          [kept.snapshot, lost.snapshot].toSorted(),
        )
      }
      const alarmed = await mirrormesh(at(homes.backup, 'status', '--check'))
      assert.equal(alarmed.status, 4)
      assert.match(alarmed.stdout, /ALARM head-fork builds\/x/)
      const stopped = await mirrormesh(at(homes.backup, 'publish', join(dir, 'source-two'), '--tree', TREE))
      assert.equal(stopped.status, 8, stopped.stderr)
      assert.match(stopped.stderr, /tree resolve-fork builds\/x/)
      const unsaid = await mirrormesh(at(homes.backup, 'tree', 'resolve-fork', TREE, '--yes'))
      assert.equal(unsaid.status, 2, unsaid.stderr)
      for (const { snapshot } of [kept, lost])
        assert.ok(unsaid.stderr.includes(`@5 ${snapshot}`), unsaid.stderr)
      await succeed(at(homes.backup, 'tree', 'resolve-fork', TREE, '--keep', kept.snapshot, '--yes'))
      for (const home of [homes.backup, homes.lab]) {
        const tree = await until(`${home} goes on`, async () => {
          const found = await readTree(home)
          return found.fork === null && found.head?.sequence === 5 ? found : undefined
        })
        assert.equal(tree.head?.snapshot, kept.snapshot)
      }
      assert.equal((await publish(homes.backup, 'after')).sequence, 6)
      await isHead(homes.lab, 6)
      assert.equal(
        (await mirrormesh(at(homes.backup, 'tree', 'resolve-fork', TREE, '--keep', 'b'))).status,
        8,
      )
    },
  )

  await t.test(
    'a revoked member is disconnected and gets nothing more; its place is free for another',
    async () => {
      const refused = await mirrormesh(at(homes.lab, 'member', 'revoke', 'hq', '--reason', 'mutiny', '--yes'))
      assert.equal(refused.status, 6, refused.stderr)
      const silent = await mirrormesh(at(homes.backup, 'member', 'revoke', 'lab', '--reason', 'stolen'))
      assert.equal(silent.status, 6, silent.stderr)
      assert.match(silent.stderr, /--yes/)
      await until('the lab is connected', async () => {
        const { members } = await succeedJson<{ members: MemberDocument[] }>(
          at(homes.backup, 'member', 'list'),
        )
        return members.find(({ site }) => site === 'lab')?.isConnected === true
      })
      await succeed(at(homes.backup, 'member', 'revoke', 'lab', '--reason', 'stolen', '--yes'))
      const lost = await until('it is disconnected', async () => {
        const { members } = await succeedJson<{ members: MemberDocument[] }>(
          at(homes.backup, 'member', 'list'),
        )
        const found = members.find(({ site }) => site === 'lab')
        return found?.isConnected === false ? found : undefined
      })
      assert.equal(lost.state, 'revoked')
      assert.match(
        await succeed(at(homes.backup, 'events', '--kind', 'revocation')),
        /revoked 12D3KooW\w+ after its record \d+: stolen/,
      )
      await publish(homes.backup, 'secret')
      assert.equal(
        (await mirrormesh(at(homes.backup, 'member', 'revoke', 'lab', '--reason', 'again', '--yes'))).status,
        8,
      )
      await lab.stop()
      const again = await mirrormesh(at(homes.lab, 'tree', 'history', TREE))
      assert.equal(again.status, 7)
      const fresh = join(dir, 'lab-2')
      const next = await succeed(at(homes.backup, 'invite', '--site', 'lab', '--region', 'eu'))
      await succeed(at(fresh, 'join', next.trim(), ...place(listen.lab)))
      const second = await startDaemon(t, fresh)
      await isHead(fresh, 7)
      await second.stop()
    },
  )
})
