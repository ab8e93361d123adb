/** Whom an admin keeps out in the page: an invite taken back, a newcomer turned down, a member thrown out. Steps of the console's test. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Page } from 'playwright-core'
import type { SelfDocument } from '../../node/api/answers.ts'
import type { InviteDocument, MemberDocument } from '../../node/api/schema/member-answers.ts'
import { mirrormesh } from '../node/program.ts'
import type { ConsoleMesh } from './console-mesh.ts'
import { OFFLINE } from './console-mesh.ts'

/** @param member a site that is thrown out */
export async function memberSteps(
  t: TestContext,
  page: Page,
  mesh: ConsoleMesh,
  member: string,
): Promise<void> {
  const dialog = page.getByRole('dialog')
  const adminKey = join(mesh.hq, 'keys/admin.key')
  const button = (name: string) => dialog.getByRole('button', { name })
  const isDone = () => dialog.waitFor({ state: 'detached' })

  await t.test('an invite is withdrawn', async () => {
    await mesh.run('invite', 'create', '--site', 'lab-x', '--region', 'eu')
    await page.goto(`${mesh.url}#/members`)
    await page.reload()
    const row = page.getByRole('row').filter({ hasText: 'lab-x' })
    await row.getByRole('button', { name: 'Withdraw' }).click()
    await dialog.getByText('mirrormesh invite revoke lab-x').waitFor()
    await dialog.getByLabel('Key file').setInputFiles(adminKey)
    await button('Withdraw it').click()
    await isDone()
    await row.getByText('withdrawn').waitFor()
    const { invites } = await mesh.json<{ invites: InviteDocument[] }>('invite', 'list')
    assert.equal(invites.find(({ site }) => site === 'lab-x')?.state, 'withdrawn')
  })

  await t.test('a newcomer is turned down', async () => {
    const { mesh: of, addresses } = JSON.parse(await mesh.get('/api/v1/self')) as SelfDocument
    const asks = [
      ...['join', '--request', `127.0.0.1:${addresses[0]!.split('/tcp/')[1]}`, '--mesh', of.id],
      ...['--site', 'lab-y', '--region', 'eu', ...OFFLINE],
    ]
    const asked = mirrormesh(['--home', join(mesh.dir, 'lab-y'), ...asks])
    await page.getByRole('button', { name: 'Deny' }).click()
    await dialog.getByText('mirrormesh member deny').waitFor()
    await button('Turn it down').click()
    await isDone()
    const { status, stderr } = await asked
    assert.equal(status, 6, stderr)
  })

  await t.test('a member is thrown out by who types its name', async () => {
    const row = page.getByRole('row').filter({ has: page.getByRole('link', { name: member }) })
    await row.getByRole('button', { name: 'Revoke' }).click()
    await dialog.getByLabel(/^Why/).fill('stolen <b>from the rack</b>')
    await dialog.getByLabel(/^Type/).fill('lab')
    assert.ok(await button('Revoke it for good').isDisabled())
    await dialog.getByLabel(/^Type/).fill(member)
    await dialog
      .getByText(`mirrormesh member revoke ${member} --reason 'stolen <b>from the rack</b>'`)
      .waitFor()
    await button('Revoke it for good').click()
    await isDone()
    await row.getByText('revoked').waitFor()
    const { members } = await mesh.json<{ members: MemberDocument[] }>('member', 'list')
    assert.equal(members.find(({ site }) => site === member)?.state, 'revoked')
  })
}
