/** The console of a real mesh in a real browser: from an empty page to a complete matrix. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startDaemon } from '../node/program.ts'
import { accessFaults, openBrowser, skipWithoutBrowser, watchErrors } from './browser.ts'
import { startConsoleMesh } from './console-mesh.ts'

test('the console of a mesh of three processes', {
  skip: skipWithoutBrowser(),
  timeout: 180_000,
}, async (t) => {
  const [browser, mesh] = await Promise.all([openBrowser(t), startConsoleMesh(t)])
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  page.setDefaultTimeout(15_000)
  const errors = watchErrors(page)

  await t.test('nobody sees anything without a token; a wrong one is refused in words', async () => {
    await page.goto(mesh.url)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    assert.deepEqual(await accessFaults(page), [])
    await page.getByRole('textbox', { name: 'Token' }).fill(`mmt_${'x'.repeat(43)}`)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('alert').getByText('this token is not valid here').waitFor()
    await page.getByRole('textbox', { name: 'Token' }).fill(mesh.token)
    await page.getByRole('button', { name: 'Sign in' }).click()
  })

  await t.test('an empty mesh leads through the first steps', async () => {
    await page.getByRole('heading', { name: /four steps/ }).waitFor()
    await page.getByText('mirrormesh invite create').waitFor()
    assert.equal(await page.locator('[aria-current=step] h3').textContent(), 'Invite a site')
    assert.deepEqual(await accessFaults(page), [])
  })

  await t.test('sites appear as they join', async () => {
    const homes = [await mesh.join('lab-a', 'eu'), await mesh.join('lab-b', 'eu')]
    await Promise.all(homes.map((home) => startDaemon(t, home)))
    await page.locator('[aria-current=step] h3', { hasText: 'Say what is kept where' }).waitFor()
    await page.locator('.fact', { hasText: 'Sites up' }).getByText('3/3').waitFor()
  })

  await t.test('a publish fills the matrix until every site is complete', async () => {
    const source = join(mesh.dir, 'nightly')
    await mkdir(source)
    await writeFile(join(source, 'image'), Buffer.alloc(3_000_000, 7))
    await mesh.run('pin', 'add', 'builds/nightly', '--all')
    await mesh.run('publish', source, '--tree', 'builds/nightly')
    const cell = (site: string) =>
      page.getByRole('gridcell', { name: `builds/nightly at ${site}: complete, has snapshot 1` })
    for (const site of ['hq', 'lab-a', 'lab-b']) await cell(site).waitFor()
    await page.getByRole('heading', { name: 'All clear' }).waitFor()
    await page.locator('.fact', { hasText: 'Saved at the origin' }).getByText('%').waitFor()
    await page.locator('.events').getByText('builds/nightly').first().waitFor()
  })

  await t.test('the matrix is walked with the arrows, and leads to trees and sites', async () => {
    await page.getByRole('rowheader').getByRole('link').first().focus()
    await page.keyboard.press('ArrowRight')
    await page.locator('[role=gridcell]:focus[aria-label^="builds/nightly at lab-a: complete"]').waitFor()
    await page.keyboard.press('ArrowUp')
    await page.locator('a:focus[href="#/sites/lab-a"]').waitFor()
  })

  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [360, 1280]) {
      await t.test(`no serious fault of access, ${colorScheme}, ${width} pixels`, async () => {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
        await page.setViewportSize({ width, height: 800 })
        assert.deepEqual(await accessFaults(page), [])
        const wide = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth')
        assert.ok(wide <= 0, `the page is ${wide} pixels wider than its window`)
      })
    }
  }

  await t.test('a node that does not answer is said to be gone, and found when it is back', async () => {
    await page.setViewportSize({ width: 1280, height: 900 })
    await mesh.daemon.stop()
    await page.getByRole('status').getByText('reconnecting').waitFor()
    // What was known stays in sight.
    await page.getByRole('gridcell').first().waitFor()
    await startDaemon(t, mesh.hq)
    // Sessions live as long as the daemon.
    await page.getByRole('textbox', { name: 'Token' }).fill(mesh.token)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('status').getByText('live').waitFor()
  })

  assert.deepEqual(errors, [])
})
