/**
 * Pictures of the console for the documents: starts a mesh of processes, has something move in it, and writes a picture
 * of each page to docs/images. `npm run screenshots`; takes chromium and about a minute and a half.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { launchBrowser } from '../../test/console/browser.ts'
import { onSignal } from '../on-signal.ts'
import { parseOptions } from '../options.ts'
import { type DemoMesh, startDemoMesh } from './demo-mesh.ts'

const HELP = `usage: npm run screenshots

Writes a picture of each page of the console to docs/images, of a mesh of processes on this machine. Takes chromium and about a minute
and a half.
`
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
  { name: 'tree-settings', address: `${TREE}?view=settings` },
  {
    name: 'new-tree',
    address: 'trees',
    async prepare(page, mesh) {
      await page.getByRole('button', { name: 'New tree' }).click()
      const dialog = page.getByRole('dialog')
      await dialog.getByLabel('Name').fill('builds/rhel-10/candidate')
      await dialog.getByLabel(/^Kind/).selectOption('snapshot')
      await dialog.getByLabel(/^Gate/).selectOption('rpm')
      await dialog.getByLabel('Key file').setInputFiles(mesh.adminKey)
      await dialog.getByText(', an admin').waitFor()
    },
  },
  {
    name: 'grants',
    address: 'members?view=grants',
    prepare: (page) => page.getByRole('cell', { name: 'operator' }).first().waitFor(),
  },
  {
    name: 'admins',
    address: 'members?view=admins',
    async prepare(page, mesh) {
      await page.getByRole('button', { name: 'Propose a change' }).click()
      const dialog = page.getByRole('dialog')
      await dialog.getByLabel('Key file').setInputFiles(mesh.adminKey)
      await dialog.getByLabel(/^New admins/).fill('12D3KooWQxfepfAYTCGJ3xPzy3jTdMD1246JptPE6WPRAThgZgjM')
      await dialog.getByLabel(/^How many/).fill('2')
    },
  },
  {
    name: 'links-edit',
    address: 'links',
    async prepare(page) {
      await page.getByRole('button', { name: 'Edit' }).click()
      const text = page.getByRole('dialog').getByLabel(/^Regions, sites and paths/)
      await text.fill((await text.inputValue()).replace('95 ms', '88 ms').replace('20 Mbit/s', '30 Mbit/s'))
      await page.getByRole('dialog').getByText('2 changes').waitFor()
    },
  },
  { name: 'events', address: 'events' },
  { name: 'links', address: 'links' },
  { name: 'settings', address: 'settings' },
]

/** At the end: a dispute is what every page tells of first. */
const DISPUTED: readonly Shot[] = [
  {
    name: 'fork',
    address: 'trees/logs/audit',
    async prepare(page) {
      await page.getByRole('heading', { name: 'In dispute: 2 branches' }).waitFor({ timeout: 60_000 })
      await page.getByText('removed', { exact: true }).first().waitFor()
    },
  },
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
  const remove = (): Promise<void> => rm(dir, { recursive: true, force: true, maxRetries: 3 })
  using _removed = onSignal(remove)
  const browser = await launchBrowser()
  using _closed = onSignal(() => browser.close())
  try {
    const mesh = await startDemoMesh(dir)
    using _stopped = onSignal(() => mesh.stop())
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
      await mesh.dispute()
      for (const shot of DISPUTED) await take(page, mesh, shot)
    } finally {
      await mesh.stop()
    }
  } finally {
    await browser.close()
    await remove()
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

parseOptions(
  { options: { help: { type: 'boolean', short: 'h', default: false } } },
  { command: 'npm run screenshots --', help: HELP },
)
await takeAll()
