/** What is done to a tree at its publisher's node: a verdict on what is held back, versions dropped. Steps of the console's test. */
import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Page } from 'playwright-core'
import type { HeadDocument } from '../../node/api/answers.ts'
import { mirrormesh } from '../node/program.ts'
import { accessFaults } from './browser.ts'
import type { ConsoleMesh } from './console-mesh.ts'

// Behind builds/nightly, with which the matrix begins.
const HELD = 'os/held'
const VERSIONED = 'os/versions'

export async function publisherSteps(t: TestContext, page: Page, mesh: ConsoleMesh): Promise<void> {
  const dialog = page.getByRole('dialog')
  const adminKey = join(mesh.hq, 'keys/admin.key')
  const button = (name: string) => dialog.getByRole('button', { name })
  const isDone = () => dialog.waitFor({ state: 'detached' })
  const source = join(mesh.dir, 'held')
  const historyOf = async (tree: string) =>
    (await mesh.json<{ heads: HeadDocument[] }>('tree', 'history', tree)).heads
  const publishLess = async (gone: readonly number[]) => {
    for (const i of gone) await rm(join(source, `file-${i}`))
    const { status, stderr } = await mirrormesh(['--home', mesh.hq, 'publish', source, '--tree', HELD])
    assert.equal(status, 6, stderr)
  }

  await t.test(
    'what a publisher holds back is accepted in the page, by an admin and nobody else',
    async () => {
      await mkdir(source)
      for (let i = 0; i < 24; i++) await writeFile(join(source, `file-${i}`), `${i}`)
      await mesh.run('publish', source, '--tree', HELD)
      await publishLess([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      await page.goto(`${mesh.url}#/trees/${HELD}`)
      await page.reload()
      await page.getByText('10 of 24 files and 10 of 38 bytes are gone since @1, at hq').first().waitFor()
      await page.getByRole('button', { name: 'Publish it all the same' }).click()
      await dialog.getByText('10 of 24 files and 10 of 38 bytes are gone since @1, at hq').waitFor()
      await dialog.getByText('hq publishes it as @2').waitFor()
      await dialog.getByText(`mirrormesh tree accept ${HELD}`).waitFor()
      await dialog.getByText(`mirrormesh diff ${HELD}@1 ${HELD}@pending`).waitFor()
      assert.ok(await button('Publish it').isDisabled())
      assert.deepEqual(await accessFaults(page), [])
      await dialog.getByLabel('Key file').setInputFiles(await mesh.strangersKey())
      await button('Publish it').click()
      await dialog
        .getByRole('alert')
        .getByText(/has no right in this mesh/)
        .waitFor()
      assert.equal((await historyOf(HELD)).length, 1)
      await button('Another').click()
      await dialog.getByLabel('Key file').setInputFiles(adminKey)
      await button('Publish it').click()
      await isDone()
      await page.getByRole('button', { name: 'Publish it all the same' }).waitFor({ state: 'detached' })
      await page.locator('.page-head').getByText('@2').waitFor()
      const [head] = await historyOf(HELD)
      assert.deepEqual([head?.sequence, head?.files], [2, 14])
    },
  )

  await t.test('and what is rejected is let go of: the tree stays where it is', async () => {
    await publishLess([10, 11, 12, 13, 14, 15])
    await page.getByRole('button', { name: 'Reject it' }).click()
    await dialog.getByText('The tree stays at @2').waitFor()
    await dialog.getByText(`mirrormesh tree reject ${HELD}`).waitFor()
    await button('Reject it').click()
    await isDone()
    await page.getByRole('button', { name: 'Reject it' }).waitFor({ state: 'detached' })
    assert.equal((await mesh.json<{ pending: unknown }>('tree', 'pending', HELD)).pending, null)
    assert.equal((await historyOf(HELD)).length, 2)
  })

  await t.test('versions are dropped in the page: a new head without them', async () => {
    const version = join(mesh.dir, 'version')
    await mkdir(version)
    await writeFile(join(version, 'kernel'), 'k')
    await mesh.run('tree', 'create', VERSIONED, '--kind', 'versioned')
    for (const name of ['13.1', '13.2', '14 beta'])
      await mesh.run('publish', version, '--tree', VERSIONED, '--as', name)
    await page.goto(`${mesh.url}#/trees/${VERSIONED}?view=settings`)
    await page.getByRole('button', { name: 'Drop some' }).click()
    assert.ok(await button('Drop them').isDisabled())
    await dialog.getByText(`mirrormesh tree drop ${VERSIONED} VERSION`).waitFor()
    await dialog.getByLabel('14 beta').check()
    await dialog.getByLabel('13.1').check()
    await dialog.getByText(`mirrormesh tree drop ${VERSIONED} '14 beta' 13.1`).waitFor()
    assert.deepEqual(await accessFaults(page), [])
    await button('Drop them').click()
    await dialog.getByText(`${VERSIONED}@4 is the head now, without`).waitFor()
    await button('Close').click()
    await isDone()
    const card = page.getByRole('region', { name: 'Versions' })
    await card.getByText('13.1', { exact: true }).waitFor({ state: 'detached' })
    await card.getByText('13.2', { exact: true }).waitFor()
    assert.equal(await mesh.run('ls', VERSIONED), '13.2/\n')
    // The page forgets the key that it was given.
    await page.reload()
  })
}
