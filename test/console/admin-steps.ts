/** Rights, admins and links in the page, beside what the command line says of them. Steps of the console's test. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Page } from 'playwright-core'
import type { TopologyDocument } from '../../node/api/answers.ts'
import type { GrantDocument } from '../../node/api/routes/grant-routes.ts'
import type { AdminsDocument } from '../../node/api/schema/member-answers.ts'
import { accessFaults } from './browser.ts'
import type { ConsoleMesh } from './console-mesh.ts'

export async function adminSteps(t: TestContext, page: Page, mesh: ConsoleMesh): Promise<void> {
  const dialog = page.getByRole('dialog')
  const adminKey = join(mesh.hq, 'keys/admin.key')
  const button = (name: string | RegExp) => dialog.getByRole('button', { name })
  const isDone = () => dialog.waitFor({ state: 'detached' })
  const admins = () => mesh.json<AdminsDocument>('admin', 'list')

  await t.test('a right is given, changed and taken back', async () => {
    await page.goto(`${mesh.url}#/members?view=grants`)
    await page.reload()
    const grantOf = async (): Promise<GrantDocument | undefined> =>
      (await mesh.json<{ grants: GrantDocument[] }>('grant', 'list')).grants.find(
        ({ site }) => site === 'lab-a',
      )
    await page.getByRole('button', { name: 'Give a right' }).click()
    await dialog.getByLabel('To the node of').selectOption({ label: 'lab-a' })
    await dialog.getByLabel(/^Of these/).fill('logs/* Builds')
    await dialog.getByText('Builds is no name or pattern of trees').waitFor()
    await dialog.getByLabel(/^Of these/).fill('logs/* builds/**')
    await dialog.getByLabel(/^Counts for/).fill('90')
    await dialog
      .getByText(
        "grant add lab-a --role operator --tree 'builds/**' --tree 'logs/*' --may pins --may tags --expires 90d",
      )
      .waitFor()
    await dialog.getByLabel('Key file').setInputFiles(adminKey)
    await button('Give it').click()
    await isDone()
    const row = page.getByRole('row').filter({ hasText: 'lab-a' })
    await row.getByText('pins, tags').waitFor()
    assert.deepEqual(await accessFaults(page), [])
    const given = await grantOf()
    assert.deepEqual(
      [given?.role, given?.trees, given?.may, given?.state],
      ['operator', ['builds/**', 'logs/*'], ['pins', 'tags'], 'active'],
    )
    await row.getByRole('button', { name: 'Change' }).click()
    await dialog.getByLabel('tags of these trees').uncheck()
    await button('Change it').click()
    await isDone()
    await row.getByRole('cell', { name: 'pins', exact: true }).waitFor()
    await row.getByRole('button', { name: 'Take back' }).click()
    await dialog.getByLabel(/^What it did/).check()
    await dialog.getByText('grant revoke lab-a --role operator --name lab-a --discard-all').waitFor()
    await button('Take it back').click()
    await isDone()
    await row.waitFor({ state: 'detached' })
    assert.equal((await grantOf())?.state, 'removed')
  })

  await t.test('another admin is named by one, and the next change takes both', async () => {
    const [before, file] = [await admins(), join(mesh.dir, 'second.key')]
    const second = (await mesh.run('admin', 'new-key', file)).trim()
    await page.getByRole('link', { name: 'Admins' }).click()
    await page.getByRole('button', { name: 'Propose a change' }).click()
    await dialog.getByLabel(/^New admins/).fill(second)
    await dialog.getByLabel(/^How many/).fill('2')
    await dialog.getByText(`mirrormesh admin propose --add ${second} --threshold 2`).waitFor()
    assert.deepEqual(await accessFaults(page), [])
    await button('Sign and apply it').click()
    await dialog.getByText('The mesh has new admins').waitFor()
    await button('Close').click()
    await page.getByRole('cell', { name: second }).waitFor()
    const after = await admins()
    assert.deepEqual([after.threshold, after.keys.toSorted()], [2, [...before.keys, second].toSorted()])

    // One signs in the page, the other at the command line.
    await page.getByRole('button', { name: 'Propose a change' }).click()
    await dialog
      .getByRole('group', { name: /^Admins now/ })
      .getByLabel(second)
      .check()
    await dialog.getByLabel(/^How many/).fill('1')
    await dialog.getByText('2 must agree to this: say who else signs it').waitFor()
    await dialog
      .getByRole('group', { name: /^Who signs it too/ })
      .getByLabel(second)
      .check()
    await button('Sign it').click()
    const text = await dialog.getByLabel('The same as text').inputValue()
    const proposal = join(mesh.dir, 'out.proposal')
    await writeFile(proposal, text)
    await mesh.run('admin', 'sign', proposal, '--key', file, '--yes')
    assert.deepEqual((await admins()).keys, before.keys)
    await button('Close').click()
  })

  await t.test(
    'a proposal of the command line is signed in the page, unless somebody changed it',
    async () => {
      const file = join(mesh.dir, 'third.key')
      const third = (await mesh.run('admin', 'new-key', file)).trim()
      const { keys } = await admins()
      await mesh.run('admin', 'propose', '--add', third, '--threshold', '2', '--yes')
      const proposal = join(mesh.dir, 'back.proposal')
      const ask = ['--remove', third, '--threshold', '1', '--cosigner', third, '--out', proposal, '--yes']
      await mesh.run('admin', 'propose', ...ask)
      await page.reload()
      await page.getByRole('button', { name: 'Sign a proposal' }).click()
      await dialog
        .getByLabel('Or its text')
        .fill('{"mirrormeshProposal": 1, "payload": "AAAA", "signatures": []}')
      await dialog.getByRole('alert').getByText('this is no proposal').waitFor()
      await dialog.getByLabel('The proposal').setInputFiles(proposal)
      await dialog.getByText('Signed by 1 of 2').waitFor()
      await dialog.getByText('leaves').waitFor()
      await dialog.getByLabel('Key file').setInputFiles(file)
      await button('Sign it').click()
      await dialog.getByText('The mesh has new admins').waitFor()
      await button('Close').click()
      assert.deepEqual((await admins()).keys, keys)
    },
  )

  await t.test(
    'links are declared as text, by a plan, and not over what others declare meanwhile',
    async () => {
      await page.goto(`${mesh.url}#/links`)
      await page.reload()
      await page.getByRole('button', { name: 'Declare the links' }).click()
      const text = dialog.getByLabel(/^Regions, sites and paths/)
      await text.fill('regions:\n  eu: { up: fast }\n')
      await dialog.getByRole('alert').getByText('topology:2: regions.eu.up: is not a rate').waitFor()
      await text.fill('regions:\n  eu: { up: 100 Mbit/s }\n  asia: { up: 10 Mbit/s }\n')
      await dialog.getByText('2 changes').waitFor()
      await dialog.getByText('there is no site in region asia yet').waitFor()
      assert.deepEqual(await accessFaults(page), [])
      await dialog.getByLabel('Key file').setInputFiles(adminKey)
      const links = join(mesh.dir, 'links.yaml')
      await writeFile(links, 'regions:\n  us: { up: 1 Gbit/s }\n')
      await mesh.run('topology', 'apply', links)
      await button('Declare it').click()
      await dialog.getByRole('alert').getByText('Somebody else has declared other links').waitFor()
      await button('Cancel').click()
      await page.getByRole('button', { name: 'Edit' }).click()
      assert.match(await text.inputValue(), /us: \{ up: 1 Gbit\/s \}/)
      await text.fill('regions:\n  us: { up: 2 Gbit/s }\n')
      await dialog.getByText('region us: up 1 Gbit/s → up 2 Gbit/s').waitFor()
      await button('Declare it').click()
      await isDone()
      await page.getByRole('cell', { name: '2 Gbit/s' }).waitFor()
      const { declared } = await mesh.json<TopologyDocument>('topology', 'show')
      assert.deepEqual(declared?.regions, [{ region: 'us', upKbit: 2_000_000 }])
      await page.reload()
    },
  )
}
