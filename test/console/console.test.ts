/** The console of a real mesh in a real browser: from an empty page to a complete matrix. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { SelfDocument } from '../../node/api/answers.ts'
import { type Daemon, mirrormesh, startDaemon, succeed, until } from '../node/program.ts'
import { adminSteps } from './admin-steps.ts'
import { accessFaults, openBrowser, skipWithoutBrowser, watchErrors } from './browser.ts'
import { OFFLINE, startConsoleMesh } from './console-mesh.ts'
import { memberSteps } from './member-steps.ts'
import { publisherSteps } from './publisher-steps.ts'
import { treeSteps } from './tree-steps.ts'

const HOSTILE = ['<img src=x onerror=alert(1)>', 'a\u202egpj.exe', '\u001b[31mred']
const NOT_UTF8 = Buffer.of(0xff, 0xfe)
/** The clock of the first node leaps ten minutes at a signal, as after a machine slept: nobody waits for a silence. */
const CLOCK = {
  NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(
    `const now=performance.now.bind(performance);let ahead=0;performance.now=()=>now()+ahead;process.on('SIGUSR2',()=>{ahead+=6e5})`,
  )}`,
}
const PAGES = [
  '',
  'trees',
  'trees/builds/nightly',
  'trees/builds/nightly?view=history',
  'trees/builds/nightly?view=files',
  'trees/builds/nightly?view=changes',
  'trees/builds/nightly?view=settings',
  'sites',
  'sites/lab-a',
  'transfers',
  'map',
  'members',
  'members?view=grants',
  'members?view=admins',
  'events',
  'links',
  'settings',
]

test('the console of a mesh of three processes', {
  skip: skipWithoutBrowser(),
  timeout: 600_000,
}, async (t) => {
  const [browser, mesh] = await Promise.all([openBrowser(t), startConsoleMesh(t, { env: CLOCK })])
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  page.setDefaultTimeout(60_000)
  const errors = watchErrors(page)
  let labs: Daemon[] = []

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
    labs = await Promise.all(homes.map((home) => startDaemon(t, home)))
    await page.locator('[aria-current=step] h3', { hasText: 'Say what is kept where' }).waitFor()
    await page.locator('.fact', { hasText: 'Sites up' }).getByText('3/3').waitFor()
  })

  const source = join(mesh.dir, 'nightly')
  const cell = (site: string, said: string) =>
    page.getByRole('gridcell', { name: `builds/nightly at ${site}: ${said}` })

  await t.test('what is published shows where it is', async () => {
    await mkdir(source)
    await writeFile(join(source, 'image'), randomBytes(3_000_000))
    for (const name of HOSTILE) await writeFile(join(source, name), 'x')
    await mkdir(Buffer.concat([Buffer.from(`${source}/`), NOT_UTF8]))
    await writeFile(Buffer.concat([Buffer.from(`${source}/`), NOT_UTF8, Buffer.from('/inside')]), 'y')
    await mesh.run('publish', source, '--tree', 'builds/nightly')
    await cell('hq', 'complete, @1, has snapshot 1').waitFor()
    await page.getByRole('gridcell', { name: 'builds/nightly at lab-a: not kept there' }).waitFor()
  })

  await t.test(
    'a pin is planned, refused to a stranger, and signed with a key that stays in the page',
    async () => {
      const sent: string[] = []
      page.on('request', (request) => sent.push(`${request.url()} ${request.postData() ?? ''}`))
      await page.goto(`${mesh.url}#/trees/builds/nightly`)
      await page.getByRole('button', { name: 'Add a pin' }).click()
      const dialog = page.getByRole('dialog')
      await dialog.getByText('3.0 MB').first().waitFor()
      await dialog.getByText('mirrormesh pin add builds/nightly --all').waitFor()
      assert.deepEqual(await accessFaults(page), [])
      await dialog.getByLabel('Key file').setInputFiles(await mesh.strangersKey())
      await dialog.getByText('neither an admin nor an operator').waitFor()
      await dialog.getByRole('button', { name: 'Pin it' }).click()
      await dialog
        .getByRole('alert')
        .getByText(/has no right in this mesh/)
        .waitFor()
      await dialog.getByRole('button', { name: 'Another' }).click()
      await dialog.getByLabel('Key file').setInputFiles(join(mesh.hq, 'keys/admin.key'))
      await dialog.getByText('an admin').waitFor()
      await dialog.getByRole('button', { name: 'Pin it' }).click()
      await dialog.waitFor({ state: 'detached' })
      await page.getByRole('cell', { name: 'every site' }).waitFor()
      const { seed } = JSON.parse(await readFile(join(mesh.hq, 'keys/admin.key'), 'utf8')) as { seed: string }
      assert.ok(sent.some((each) => each.includes('/api/v1/records')))
      assert.ok(!sent.some((each) => each.includes(seed)))
    },
  )

  await t.test('a pin that would take the place of another says so before', async () => {
    await page.getByRole('button', { name: 'Add a pin' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('it is replaced').waitFor()
    await dialog.getByLabel('Only what lies at').fill('x86_64 repodata')
    await dialog.getByText('mirrormesh pin add builds/nightly --all --path repodata --path x86_64').waitFor()
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    await dialog.waitFor({ state: 'detached' })
  })

  await t.test('the matrix fills until every site is complete', async () => {
    await page.getByRole('link', { name: 'Overview' }).click()
    for (const site of ['hq', 'lab-a', 'lab-b']) await cell(site, 'complete, @1, has snapshot 1').waitFor()
    await page.getByRole('heading', { name: 'All clear' }).waitFor()
    await page.locator('.fact', { hasText: 'Saved at the origin' }).getByText('%').waitFor()
    await page.locator('.events').getByText('builds/nightly').first().waitFor()
  })

  await t.test('and again while the next publish runs', async () => {
    await writeFile(join(source, 'image'), randomBytes(3_000_000))
    await mesh.run('publish', source, '--tree', 'builds/nightly')
    for (const site of ['hq', 'lab-a', 'lab-b']) await cell(site, 'complete, @2, has snapshot 2').waitFor()
  })

  await t.test('a fetch is paused in the page, is seen as that and not as stalled, and goes on', async () => {
    const lab = join(mesh.dir, 'lab-a')
    await succeed(['--home', lab, 'fetch', 'pause', 'builds/nightly'])
    await page.goto(`${mesh.url}#/transfers`)
    const row = (site: string) => page.getByRole('row').filter({ hasText: site })
    await row('lab-a').getByText('paused by').waitFor()
    await row('lab-a').getByRole('button', { name: 'Resume' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('mirrormesh fetch resume builds/nightly --api https://lab-a').waitFor()
    await dialog.getByRole('button', { name: 'I see' }).click()
    await mesh.run('fetch', 'pause', 'builds/nightly')
    await row('hq').getByRole('button', { name: 'Resume' }).click()
    await dialog.getByText('mirrormesh fetch resume builds/nightly').waitFor()
    assert.deepEqual(await accessFaults(page), [])
    await dialog.getByRole('button', { name: 'Let it go on' }).click()
    await row('hq').waitFor({ state: 'detached' })
    await mkdir(join(source, 'many'))
    for (let i = 100; i < 700; i++) await writeFile(join(source, 'many', `file-${i}`), 'z')
    await writeFile(join(source, 'image'), randomBytes(3_000_000))
    await mesh.run('publish', source, '--tree', 'builds/nightly')
    await page.getByRole('link', { name: 'Overview' }).click()
    await page.getByRole('gridcell', { name: /^builds\/nightly at lab-a: behind, .*paused by/ }).waitFor()
    await succeed(['--home', lab, 'fetch', 'resume', 'builds/nightly'])
    await cell('lab-a', 'complete, @3, has snapshot 3').waitFor()
  })

  await t.test(
    'limits and their schedule are changed in the page, and not over what somebody else said',
    async () => {
      await page.goto(`${mesh.url}#/settings`)
      await page.getByRole('button', { name: 'Change limits' }).click()
      const dialog = page.getByRole('dialog')
      await dialog.getByLabel('To other regions').fill('20 M')
      await dialog.getByText('a rate is 500k').waitFor()
      await dialog.getByLabel('To other regions').fill('20M')
      await dialog.getByText('mirrormesh limits set --wan-up 20M').waitFor()
      await dialog.getByLabel('Give way to other traffic').fill('never')
      await dialog.getByText('on, off, milliseconds of queue').waitFor()
      await dialog.getByLabel('Give way to other traffic').fill('40ms')
      await dialog.getByText('mirrormesh limits set --wan-up 20M --give-way 40ms').waitFor()
      assert.deepEqual(await accessFaults(page), [])
      await mesh.run('limits', 'set', '--wan-up', '5M')
      await dialog.getByRole('button', { name: 'Change them' }).click()
      await dialog.getByRole('alert').getByText('somebody else changed it').waitFor()
      await dialog.getByRole('button', { name: 'Cancel' }).click()
      await page.getByRole('button', { name: 'Change limits' }).click()
      await dialog.getByLabel('Give way to other traffic').fill('on')
      await dialog.getByRole('button', { name: 'Change them' }).click()
      await page.getByText('Other traffic to other regions is given way to, at 25 ms of queue').waitFor()
      await page.getByRole('button', { name: 'Change the schedule' }).click()
      await dialog.getByLabel('Windows').fill('daily 00:00-24:00 wan-up=3M')
      await dialog.getByLabel('Time zone').fill('Nowhere/Land')
      await dialog
        .getByText(
          "mirrormesh limits schedule --window 'daily 00:00-24:00 wan-up=3M' --time-zone Nowhere/Land",
        )
        .waitFor()
      await dialog.getByRole('button', { name: 'Set the schedule' }).click()
      await dialog.getByRole('alert').getByText('is not a time zone').waitFor()
      await dialog.getByLabel('Time zone').fill('Asia/Tokyo')
      await dialog.getByRole('button', { name: 'Set the schedule' }).click()
      await dialog.waitFor({ state: 'detached' })
      await page.getByText('schedule; else 5.0 MB/s').waitFor()
      await page.getByText('holds', { exact: true }).waitFor()
      assert.match(await mesh.run('limits', 'show'), /^wan up +3\.0 MB\/s +schedule/m)
      await page.getByRole('cell', { name: 'apiListen' }).waitFor()
      await page.getByLabel('defaults too').check()
      await page
        .getByRole('row')
        .filter({ hasText: 'keepSnapshots' })
        .getByRole('button', { name: 'Change' })
        .click()
      await dialog.getByLabel('Value').fill('none')
      await dialog.getByRole('button', { name: 'Change it' }).click()
      await dialog.getByRole('alert').getByText('keepSnapshots').waitFor()
      await dialog.getByLabel('Value').fill('7')
      await dialog.getByText('mirrormesh config set keepSnapshots 7').waitFor()
      await dialog.getByRole('button', { name: 'Change it' }).click()
      await page.getByText('7 from the next start').waitFor()
      await mesh.run('config', 'unset', 'keepSnapshots')
      assert.deepEqual(await accessFaults(page), [])
      await mesh.run('limits', 'schedule', '--config')
      await mesh.run('limits', 'set', '--wan-up', 'config', '--give-way', 'config')
    },
  )

  await t.test('names from trees are shown as what they are', async () => {
    await page.goto(`${mesh.url}#/trees/builds/nightly?view=files`)
    await page.getByText('<img src=x onerror=alert(1)>').waitFor()
    await page.getByText('a\\u{202e}gpj.exe').waitFor()
    await page.getByText('\\x1b[31mred').waitFor()
    assert.equal(await page.locator('main img').count(), 0)
    await page.getByRole('link', { name: '\\xff\\xfe/' }).click()
    await page.getByRole('link', { name: 'inside' }).waitFor()
    await page.goto(`${mesh.url}#/trees/builds/nightly?view=files&path=many`)
    await page.getByText('600 here').waitFor()
    await page.getByRole('link', { name: 'file-599' }).waitFor()
    await page.getByRole('link', { name: 'The next 500' }).click()
    await page.getByRole('link', { name: 'file-600' }).waitFor()
    assert.equal(await page.getByRole('link', { name: 'The next 500' }).count(), 0)
    await page.getByRole('link', { name: 'From the beginning' }).click()
    await page.getByRole('link', { name: 'file-100', exact: true }).waitFor()
    await page.goto(`${mesh.url}#/trees/builds/nightly?view=changes&from=1&to=2`)
    await page.getByText('1 changed').waitFor()
    await page.goto(`${mesh.url}#/trees/no/such`)
    await page.getByRole('alert').getByText('the mesh has no tree "no/such".').waitFor()
    assert.equal(await page.getByRole('navigation', { name: 'Of this tree' }).count(), 0)
  })

  await t.test('a tag is set, and a site drained and put back', async () => {
    await page.goto(`${mesh.url}#/trees/builds/nightly?view=history`)
    const row = page.getByRole('row').filter({ hasText: '@1' })
    await row.getByRole('button', { name: 'Tag' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Name').fill('ga')
    await dialog.getByText('mirrormesh tag builds/nightly@1 ga').waitFor()
    await dialog.getByRole('button', { name: 'Set the tag' }).click()
    await row.getByText('ga', { exact: true }).waitFor()
    await page.goto(`${mesh.url}#/sites/lab-b`)
    await page.getByRole('button', { name: 'Drain' }).click()
    await dialog.getByLabel('Why').fill("the lab's rack moves")
    await dialog.getByText("mirrormesh site drain lab-b --note 'the lab'\\''s rack moves'").waitFor()
    await dialog.getByRole('button', { name: 'Drain it' }).click()
    await page.getByText("the lab's rack moves").waitFor()
    await page.getByRole('button', { name: 'Back into service' }).click()
    await dialog.getByRole('button', { name: 'Back into service' }).click()
    await page.getByRole('button', { name: 'Drain' }).waitFor()
    assert.match(await mesh.run('site', 'list'), /lab-b +eu +in service/)
  })

  await t.test('a node that was made an operator signs by itself, what it may and no more', async () => {
    const { peer } = JSON.parse(await mesh.get('/api/v1/self')) as SelfDocument
    await mesh.run('grant', 'add', peer, '--role', 'operator', '--tree', 'builds/**', '--may', 'tags')
    await page.goto(`${mesh.url}#/trees/builds/nightly?view=history`)
    // The page forgets the key that it was given.
    await page.reload()
    await page.getByRole('row').filter({ hasText: '@2' }).getByRole('button', { name: 'Tag' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Name').fill('candidate')
    await dialog.getByRole('button', { name: 'Sign with the key of this node' }).click()
    await dialog.getByRole('button', { name: 'Set the tag' }).click()
    await dialog.waitFor({ state: 'detached' })
    await page.getByRole('row').filter({ hasText: '@2' }).getByText('candidate', { exact: true }).waitFor()
    await page.goto(`${mesh.url}#/sites/lab-a`)
    await page.getByRole('button', { name: 'Drain' }).click()
    await dialog.getByRole('button', { name: 'Drain it' }).click()
    await dialog
      .getByRole('alert')
      .getByText(/may not sign that site record/)
      .waitFor()
    await page.reload()
  })

  await treeSteps(t, page, mesh, labs)
  await publisherSteps(t, page, mesh)
  await adminSteps(t, page, mesh)

  await t.test('a site is invited in the page, and joins by what the page shows', async () => {
    await page.goto(`${mesh.url}#/members`)
    await page.getByRole('button', { name: 'Invite a site' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Site').fill('lab-c')
    await dialog.getByLabel('Key file').setInputFiles(join(mesh.hq, 'keys/admin.key'))
    await dialog.getByRole('button', { name: 'Make the invite' }).click()
    const line = await dialog.getByText('mirrormesh join mm1.').textContent()
    await mesh.joinBy(line!.split(' ').at(-1)!, 'lab-c')
    await dialog.getByRole('button', { name: 'Close' }).click()
    await page.getByRole('row', { name: 'lab-c' }).getByText('active').waitFor()
    await page.goto(`${mesh.url}#/events?kind=member`)
    await page.locator('.events').getByText('lab-c').first().waitFor()
  })

  await t.test('a machine without an invite is let in by the code that it shows', async () => {
    const { mesh: of, addresses } = JSON.parse(await mesh.get('/api/v1/self')) as SelfDocument
    const asks = [
      'join',
      '--request',
      `127.0.0.1:${addresses[0]!.split('/tcp/')[1]}`,
      '--mesh',
      of.id,
      '--site',
      'lab-d',
      '--region',
      'us',
      ...OFFLINE,
    ]
    let text = ''
    const joined = mirrormesh(['--home', join(mesh.dir, 'lab-d'), ...asks], {
      onStart: (child) =>
        child.stderr?.on('data', (chunk: string) => {
          text += chunk
        }),
    })
    await page.goto(`${mesh.url}#/`)
    await page.getByRole('heading', { name: '1 machine asks to join' }).waitFor()
    await page.getByRole('button', { name: 'Approve' }).click()
    const dialog = page.getByRole('dialog')
    const code = await until('it shows a code', async () => /^code (\S+)$/m.exec(text)?.[1])
    const other = code.replace(/\d/g, (digit) => String((Number(digit) + 1) % 10))
    await dialog.getByLabel(/The code/).fill(other)
    await dialog.getByText('That is another code').waitFor()
    assert.ok(await dialog.getByRole('button', { name: 'Let it in' }).isDisabled())
    await dialog.getByLabel(/The code/).fill(code)
    await dialog.getByRole('button', { name: 'Let it in' }).click()
    await dialog.waitFor({ state: 'detached' })
    assert.equal((await joined).status, 0)
  })

  await memberSteps(t, page, mesh, 'lab-d')

  await t.test('the matrix is walked with the arrows, and leads to trees and sites', async () => {
    await page.getByRole('link', { name: 'Overview' }).click()
    // A new page takes the focus to its heading first.
    await page.locator('main h1:focus').waitFor()
    await page.getByRole('rowheader').getByRole('link').first().focus()
    await page.keyboard.press('ArrowRight')
    await page.locator('[role=gridcell]:focus[aria-label^="builds/nightly at lab-a: complete"]').waitFor()
    await page.keyboard.press('ArrowUp')
    await page.locator('a:focus[href="#/sites/lab-a"]').waitFor()
  })

  for (const address of PAGES) {
    await t.test(`no serious fault of access at #/${address}, light and dark, wide and narrow`, async () => {
      await page.goto(`${mesh.url}#/${address}`)
      await page.locator('main h1').waitFor()
      await page.locator('.nothing', { hasText: '…' }).waitFor({ state: 'detached' })
      for (const colorScheme of ['light', 'dark'] as const) {
        for (const width of [360, 1280]) {
          await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
          await page.setViewportSize({ width, height: 800 })
          assert.deepEqual(await accessFaults(page), [], `${colorScheme}, ${width} pixels`)
          const wide = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth')
          assert.ok(wide <= 0, `at ${width} pixels the page is ${wide} pixels wider than its window`)
        }
      }
    })
  }

  await t.test('a site that was killed is said to be silent', async () => {
    await page.setViewportSize({ width: 1280, height: 900 })
    await page.goto(`${mesh.url}#/`)
    await labs[1]!.kill()
    process.kill(mesh.daemon.pid, 'SIGUSR2')
    await page.getByRole('heading', { name: /^lab-b has been silent for 1\d min$/ }).waitFor()
    await page.getByRole('gridcell', { name: /builds\/nightly at lab-b: .*before it fell silent/ }).waitFor()
    await page.locator('.fact', { hasText: 'Sites up' }).getByText('silent').waitFor()
  })

  await t.test('a node that does not answer is said to be gone, and found when it is back', async () => {
    await page.setViewportSize({ width: 1280, height: 900 })
    await page.getByRole('link', { name: 'Overview' }).click()
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
