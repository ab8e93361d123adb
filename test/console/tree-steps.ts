/** What an admin does to a tree in the page, beside what the command line says of it. Steps of the console's test. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Page } from 'playwright-core'
import type { ChainDocument, HeadDocument, TreeDocument } from '../../node/api/answers.ts'
import { type Daemon, startDaemon, until } from '../node/program.ts'
import { accessFaults } from './browser.ts'
import type { ConsoleMesh } from './console-mesh.ts'
import { forkTree } from './fork-tree.ts'

const TREE = 'builds/made'

/** @param labs daemons of other sites: the first is started anew */
export async function treeSteps(
  t: TestContext,
  page: Page,
  mesh: ConsoleMesh,
  labs: Daemon[],
): Promise<void> {
  const dialog = page.getByRole('dialog')
  const adminKey = join(mesh.hq, 'keys/admin.key')
  const button = (name: string) => dialog.getByRole('button', { name })
  const isDone = () => dialog.waitFor({ state: 'detached' })
  const show = (tree = TREE) => mesh.json<TreeDocument>('tree', 'show', tree)
  const source = join(mesh.dir, 'made')

  await t.test('a tree is created in the page, as the line beside it would', async () => {
    await page.goto(`${mesh.url}#/trees`)
    await page.reload()
    await page.getByRole('button', { name: 'New tree' }).click()
    await dialog.getByLabel('Name').fill('Builds/Made')
    await dialog.getByText('A name is 1 to 8 parts').waitFor()
    await dialog.getByLabel('Name').fill('builds/nightly')
    await dialog.getByText('There is a tree builds/nightly already').waitFor()
    await dialog.getByLabel('Name').fill(TREE)
    await dialog.getByLabel(/^Kind/).selectOption('snapshot')
    await dialog.getByText('A tree of kind snapshot has a gate').waitFor()
    await dialog.getByLabel(/^Gate/).selectOption('file')
    await dialog.getByLabel('The file').fill('one')
    await dialog.getByLabel('Its first line').fill('one')
    await dialog.getByLabel('Keep the newest').fill('9')
    const line = `mirrormesh tree create ${TREE} --publisher hq --kind snapshot --gate-file one=one --keep-last 9`
    await dialog.getByText(line).waitFor()
    assert.deepEqual(await accessFaults(page), [])
    await dialog.getByLabel('Key file').setInputFiles(await mesh.strangersKey())
    await button('Create it').click()
    await dialog
      .getByRole('alert')
      .getByText(/has no right in this mesh/)
      .waitFor()
    await button('Another').click()
    await dialog.getByLabel('Key file').setInputFiles(adminKey)
    await button('Create it').click()
    await page.getByRole('heading', { name: TREE }).waitFor()
    const { kind, gate, keep, epoch } = await show()
    assert.deepEqual(
      { kind, gate, keep, epoch: epoch?.epoch },
      { kind: 'snapshot', gate: { path: 'one', text: 'one' }, keep: { last: 9 }, epoch: 1 },
    )
  })

  await t.test(
    'it is published into in the page and at the command line; the page rolls it back',
    async () => {
      await mkdir(join(source, 'etc'), { recursive: true })
      await writeFile(join(source, 'one'), 'one')
      await writeFile(join(source, 'etc', 'secret.key'), 'one')
      await page.getByRole('button', { name: 'Publish' }).click()
      await dialog.getByLabel(/^Folder/).fill(source)
      await button('Look what it would be').click()
      await dialog.getByText('@1: 2 files').waitFor()
      await dialog.getByText(`mirrormesh publish ${source} --tree ${TREE}`).waitFor()
      assert.deepEqual(await accessFaults(page), [])
      await button('Publish it').click()
      await dialog.getByText('is the head now').waitFor()
      await button('Close').click()
      await writeFile(join(source, 'two'), 'two')
      await mesh.run('publish', source, '--tree', TREE)
      await page.getByRole('link', { name: 'History' }).click()
      await page.getByRole('row').filter({ hasText: '@1' }).getByRole('button', { name: 'Roll back' }).click()
      await dialog.getByText(`mirrormesh tree rollback ${TREE}@1`).waitFor()
      await button('Roll back').click()
      await dialog.getByText(`${TREE}@3`).waitFor()
      await button('Close').click()
      const { head } = await show()
      assert.equal(head?.sequence, 3)
    },
  )

  await t.test('its settings are changed, unless somebody else has just done so', async () => {
    await page.goto(`${mesh.url}#/trees/${TREE}?view=settings`)
    await page.getByRole('button', { name: 'Change' }).click()
    await dialog.getByLabel(/^Kind/).selectOption('simple')
    await dialog.getByLabel(/^Gate/).selectOption('none')
    await dialog.getByLabel('Private').check()
    const line = `mirrormesh tree set ${TREE} --kind simple --private --no-gate`
    await dialog.getByText(line).waitFor()
    await mesh.run('tree', 'retain', TREE, '--days', '3')
    await button('Change them').click()
    await dialog.getByRole('alert').getByText('somebody else has changed').waitFor()
    await button('Cancel').click()
    await page.getByText('3 days, where no pin says otherwise').waitFor()
    await page.getByRole('button', { name: 'Change' }).click()
    await dialog.getByLabel(/^Kind/).selectOption('simple')
    await dialog.getByLabel(/^Gate/).selectOption('none')
    await button('Change them').click()
    await isDone()
    await page.getByText('none: whatever is there is published').waitFor()
    const { kind, gate, keep } = await show()
    assert.deepEqual({ kind, gate, keep }, { kind: 'simple', gate: null, keep: { days: 3 } })
  })

  await t.test('a tag is moved and taken away', async () => {
    await mesh.run('tag', `${TREE}@1`, 'ga')
    await page.getByRole('button', { name: 'Move to @3' }).click()
    await dialog.getByText('ga is at @1 now: it moves here').waitFor()
    await button('Set the tag').click()
    await isDone()
    await page.getByRole('cell', { name: '@3' }).waitFor()
    await page.getByRole('button', { name: 'Take away' }).click()
    await dialog.getByText(`mirrormesh tag ${TREE} ga --remove`).waitFor()
    await button('Take it away').click()
    await isDone()
    await page.getByText('No snapshot has a name').waitFor()
    assert.deepEqual((await show()).tags, [])
  })

  await t.test(
    'a tree in dispute shows its branches, what differs, and goes on from the one chosen',
    async () => {
      const tips = await dispute(t, mesh, labs)
      await page.getByRole('heading', { name: 'In dispute: 2 branches' }).waitFor()
      for (const tip of tips) await page.getByText(tip.snapshot, { exact: true }).waitFor()
      await page.getByText(/^two$/).waitFor()
      assert.deepEqual(await accessFaults(page), [])
      const [kept] = tips
      const branch = page.getByRole('article').filter({ hasText: kept!.snapshot })
      await branch.getByRole('button', { name: 'Keep this branch' }).click()
      await dialog.getByText(`mirrormesh tree resolve-fork ${TREE} --keep ${kept!.snapshot}`).waitFor()
      await dialog.getByText('The other branch ends').waitFor()
      await button('Start the new epoch').click()
      await isDone()
      await page.getByRole('heading', { name: 'In dispute' }).waitFor({ state: 'detached' })
      const { isForked, epoch, head } = await show()
      assert.deepEqual(
        [isForked, epoch?.epoch, head?.sequence, head?.snapshot],
        [false, 2, 4, kept!.snapshot],
      )
    },
  )

  await t.test('it is handed over', async () => {
    await page.getByRole('button', { name: 'Hand over' }).click()
    await dialog.getByLabel('The new publisher').selectOption({ label: 'lab-a' })
    await dialog.getByText(`mirrormesh tree hand-over ${TREE} --publisher lab-a`).waitFor()
    await button('Hand it over').click()
    await isDone()
    await page.getByText('lab-a, epoch 3').waitFor()
    assert.match(await mesh.run('tree', 'show', TREE), /publisher +lab-a \(epoch 3\)/)
  })

  await t.test('what has a path is taken down, and lifted when it is gone here', async () => {
    await page.getByRole('button', { name: 'Take something down' }).click()
    await dialog.getByLabel(/^Path/).fill('/etc/secret.key')
    await dialog.getByText('@1, @2, @3, @4').waitFor()
    await dialog.getByText('Nothing is left of the tree then').waitFor()
    await dialog.getByLabel(/^Why/).fill('a key leaked')
    await button('Take it down').click()
    await isDone()
    const row = page.getByRole('row').filter({ hasText: `${TREE}:etc/secret.key` })
    await row.getByText('a key leaked').waitFor()
    await row.getByText(/done at [1-9]/).waitFor({ timeout: 60_000 })
    await row.getByRole('button', { name: 'Lift' }).click()
    await dialog.getByText('may be fetched again').waitFor()
    await button('Lift it').click()
    await isDone()
    await page.getByText('Nothing is. A snapshot').waitFor()
    assert.match(await mesh.run('tree', 'takedown', TREE, '--list'), /0 takedowns/)
  })

  await t.test('it is deleted by who types its name, and comes back with its history', async () => {
    await page.getByRole('button', { name: 'Delete the tree' }).click()
    await dialog.getByLabel(/^Type/).fill('builds/mad')
    assert.ok(await button('Delete it').isDisabled())
    await dialog.getByLabel(/^Type/).fill(TREE)
    await button('Delete it').click()
    await page.getByRole('heading', { name: 'Trees', exact: true }).waitFor()
    await page.getByRole('link', { name: TREE }).waitFor({ state: 'detached' })
    assert.doesNotMatch(await mesh.run('tree', 'list'), /builds\/made/)
    await page.getByRole('button', { name: 'New tree' }).click()
    await dialog.getByLabel('Name').fill(TREE)
    await dialog.getByText('It comes back with its history, up to @4').waitFor()
    // The page forgets the key that it was given.
    await page.reload()
  })
}

/** Returns the ends of the branches, the one with the older snapshot first. */
async function dispute(t: TestContext, mesh: ConsoleMesh, labs: Daemon[]): Promise<HeadDocument[]> {
  const { heads } = await mesh.json<{ heads: HeadDocument[] }>('tree', 'history', TREE)
  const chain = JSON.parse(await mesh.get(`/api/v1/chain/${heads[0]!.publisher}`)) as ChainDocument
  const { home } = labs[0]!
  await labs[0]!.stop()
  await forkTree({ heads, chain, publisherHome: mesh.hq, stoppedHome: home })
  labs[0] = await startDaemon(t, home)
  const tree = await until('the first node knows of the dispute', async () => {
    const found = await mesh.json<TreeDocument>('tree', 'show', TREE)
    return found.fork === null ? undefined : found
  })
  return tree.fork!.tips.toSorted((a) => (a.snapshot === heads[2]!.snapshot ? -1 : 1))
}
