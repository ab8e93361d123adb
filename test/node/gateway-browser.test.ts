import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { accessFaults, openBrowser, skipWithoutBrowser, watchErrors } from '../console/browser.ts'
import { createTestMesh } from './gateway-mesh.ts'

test('a listing reads on a phone, sorts without scripts, and leads to folders and files', {
  skip: skipWithoutBrowser(),
  timeout: 300_000,
}, async (t) => {
  const mesh = await createTestMesh()
  await mesh.publish('builds/nightly', [
    [`${'a-very-long-name-without-a-single-space'.repeat(5)}.txt`, utf8('x')],
    ['<img src=x onerror=alert(1)>.txt', utf8('x')],
    ['large.bin', new Uint8Array(3000)],
    ['sub', [['inner.txt', utf8('inner')]]],
  ])
  const gateway = await mesh.start()
  t.after(() => gateway.stop(0))
  const browser = await openBrowser(t)
  for (const colorScheme of ['light', 'dark'] as const) {
    const context = await browser.newContext({ viewport: { width: 360, height: 640 }, colorScheme })
    const page = await context.newPage()
    const errors = watchErrors(page)
    await page.goto(`http://${gateway.address()}/builds/nightly/`)
    const widthPx = await page.evaluate<number>('document.documentElement.scrollWidth')
    assert.ok(widthPx <= 360, `${widthPx} px wide`)
    assert.deepEqual(await accessFaults(page), [])
    const names = (): Promise<string[]> => page.locator('tbody td:first-child a').allTextContents()
    assert.equal((await names()).length, 5)
    await page.getByRole('link', { name: 'Bytes' }).click()
    assert.deepEqual((await names()).slice(0, 2), ['../', 'large.bin'])
    await page.getByRole('link', { name: 'sub/' }).click()
    assert.match(page.url(), /\/builds\/nightly\/sub\/$/)
    await page.getByRole('link', { name: 'inner.txt' }).click()
    assert.equal(await page.locator('body').textContent(), 'inner')
    assert.deepEqual(errors, [])
    await context.close()
  }
})
