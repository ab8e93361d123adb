/**
 * Pictures of the console for the documents: starts a mesh of processes, has something move in it, and writes a picture
 * of each page to docs/images. `npm run screenshots`; takes chromium and about a minute and a half.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { launchBrowser } from '../../test/console/browser.ts'
import { type DemoMesh, startDemoMesh } from './demo-mesh.ts'

const IMAGES = join(import.meta.dirname, '../../docs/images')
const WIDE = { width: 1280, height: 800 }
const NARROW = { width: 360, height: 720 }

interface Shot {
  readonly name: string
  readonly address: string
  readonly isDark?: boolean
  readonly isNarrow?: boolean
  /** What has to be there before, and what is done first. */
  readonly prepare?: (page: Page, mesh: DemoMesh) => Promise<void>
}

const TREE = 'trees/builds/rhel-10/nightly'

const BEFORE: readonly Shot[] = [
  { name: 'tree', address: TREE },
  { name: 'history', address: `${TREE}?view=history` },
  { name: 'changes', address: `${TREE}?view=changes&from=2&to=3` },
  {
    name: 'pin',
    address: 'trees/firmware',
    async prepare(page, mesh) {
      await page.getByRole('button', { name: 'Add a pin' }).click()
      const dialog = page.getByRole('dialog')
      await dialog.getByText('to move').waitFor()
      await dialog.getByLabel('Key file').setInputFiles(mesh.adminKey)
      await dialog.getByText('an admin').waitFor()
    },
  },
  { name: 'site', address: 'sites/munich' },
  { name: 'members', address: 'members' },
  { name: 'events', address: 'events' },
  { name: 'links', address: 'links' },
  { name: 'settings', address: 'settings' },
]

/** While a snapshot is on its way. */
const MEANWHILE: readonly Shot[] = [
  {
    name: 'map',
    address: 'map',
    prepare: (page) => page.locator('.map .flow').first().waitFor({ state: 'attached' }),
  },
  { name: 'overview', address: '', prepare: hasRates },
  { name: 'overview-dark', address: '', isDark: true, prepare: hasRates },
  { name: 'overview-narrow', address: '', isNarrow: true, prepare: hasRates },
  {
    name: 'transfers',
    address: 'transfers',
    async prepare(page) {
      await page.getByRole('link', { name: 'Look closer' }).first().click()
      await page.locator('.facts, .notice').first().waitFor()
    },
  },
]

/** A rate is the difference of two looks. */
async function hasRates(page: Page): Promise<void> {
  await page.locator('.fact', { hasText: 'Moving here' }).getByText('/s').first().waitFor()
}

async function takeAll(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'mirrormesh-screenshots-'))
  await mkdir(IMAGES, { recursive: true })
  const browser = await launchBrowser()
  try {
    const mesh = await startDemoMesh(dir)
    try {
      const page = await browser.newPage({ viewport: WIDE, reducedMotion: 'reduce' })
      await page.goto(mesh.url)
      await page.getByRole('textbox', { name: 'Token' }).fill(mesh.token)
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.getByRole('heading', { name: /All/ }).waitFor()
      for (const shot of BEFORE) await take(page, mesh, shot)
      const publishing = mesh.publishSlowly()
      await page.goto(`${mesh.url}#/`)
      await page.locator('.cell.fetching').nth(2).waitFor({ timeout: 60_000 })
      for (const shot of MEANWHILE) await take(page, mesh, shot)
      await publishing
    } finally {
      await mesh.stop()
    }
  } finally {
    await browser.close()
    await rm(dir, { recursive: true, force: true })
  }
}

async function take(page: Page, mesh: DemoMesh, shot: Shot): Promise<void> {
  const { name, address, isDark = false, isNarrow = false, prepare } = shot
  await page.setViewportSize(isNarrow ? NARROW : WIDE)
  await page.emulateMedia({ colorScheme: isDark ? 'dark' : 'light', reducedMotion: 'reduce' })
  await page.goto(`${mesh.url}#/${address}`)
  // A page of its own for each: no dialog of the one before is left open.
  await page.reload()
  await page.getByRole('status').getByText('live').waitFor()
  await page.locator('main h1').waitFor()
  await page.waitForLoadState('networkidle', { timeout: 3000 }).catch(() => undefined)
  await prepare?.(page, mesh)
  await page.screenshot({ path: join(IMAGES, `${name}.png`) })
  process.stderr.write(`docs/images/${name}.png\n`)
}

await takeAll()
