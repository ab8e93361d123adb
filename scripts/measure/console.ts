/**
 * What the console costs a browser with 200 sites and 500 trees: first paint, the cost of an update, memory. The node is
 * played by a server here that answers with a made-up status document; the browser and all that runs in it are real.
 *
 *   npm run bench:console [-- SITES TREES]
 *
 * Prints one JSON document. Times are of the browser's main thread unless said otherwise.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { CDPSession, Page } from 'playwright-core'
import { statusDelta } from '../../node/api/status-delta.ts'
import { loadConsoleAssets } from '../../node/console-assets.ts'
import { launchBrowser } from '../../test/console/browser.ts'
import { madeStatus } from '../../test/console/made-status.ts'
import { parseOptions, refuse } from '../options.ts'

const UPDATES = 10
const SCROLLS = 40

const HELP = `usage: npm run bench:console [-- SITES TREES]

What the console costs a browser: first paint, the cost of an update, memory. By default with 200 sites and 500 trees. Takes chromium;
prints one JSON document.
`

const { positionals } = parseOptions(
  { allowPositionals: true, options: { help: { type: 'boolean', short: 'h', default: false } } },
  { command: 'npm run bench:console --', help: HELP },
)
const [sites = 200, trees = 500] = positionals.map(Number)
if (![sites, trees].every((count) => Number.isSafeInteger(count) && count > 0))
  refuse('npm run bench:console --', 'SITES and TREES are numbers above zero')
const nowMs = Date.now()
const turns = Array.from({ length: UPDATES + 1 }, (_, turn) => madeStatus({ sites, trees, turn }, nowMs))
const first = JSON.stringify(turns[0])
const deltas = turns.slice(1).map((after, i) => JSON.stringify(statusDelta(turns[i]!, after)))

let stream: ServerResponse | undefined
const server = createServer((request, response) => {
  const path = (request.url ?? '').split('?')[0]!
  if (path.startsWith('/console/')) {
    const { files, contentSecurityPolicy } = loadConsoleAssets()
    const file = files.get(path.slice('/console/'.length))
    if (file === undefined) return response.writeHead(404).end()
    return response
      .writeHead(200, {
        'content-type': file.type,
        'content-encoding': 'br',
        'content-security-policy': contentSecurityPolicy,
      })
      .end(file.compressed)
  }
  if (path === '/api/v1/events') {
    stream = response.writeHead(200, { 'content-type': 'text/event-stream' })
    return stream.write(': open\n\n')
  }
  const answers: Readonly<Record<string, string>> = {
    '/api/v1/status': first,
    '/api/v1/session': JSON.stringify({ scope: 'read', token: null, expiresMs: null, isSession: true }),
    '/api/v1/records': JSON.stringify({ records: [], cursor: null }),
    '/api/v1/requests': JSON.stringify({ requests: [] }),
  }
  const answer = answers[path]
  return response
    .writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' })
    .end(answer ?? '{}')
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address() as AddressInfo

const browser = await launchBrowser()
try {
  const page = await browser.newPage({
    viewport: { width: 1440, height: 900 },
    // What waits for a change in the page is made of text there.
    bypassCSP: true,
  })
  const session = await page.context().newCDPSession(page)
  await session.send('Performance.enable')
  await page.goto(`http://127.0.0.1:${port}/console/`)
  await page.getByRole('gridcell').first().waitFor()
  const paint = await page.evaluate<{ first: number; matrix: number }>(
    `({ first: performance.getEntriesByName('first-contentful-paint')[0].startTime, matrix: performance.now() })`,
  )
  const cells = await page.getByRole('gridcell').count()
  const updates: Cost[] = []
  for (const delta of deltas) updates.push(await costOf(session, page, () => sendDelta(page, delta)))
  const scroll = await costOf(session, page, () => scrollThrough(page))
  process.stdout.write(
    `${JSON.stringify(
      {
        sites,
        trees,
        documentBytes: first.length,
        deltaBytes: Math.max(...deltas.map(({ length }) => length)),
        firstPaintMs: Math.round(paint.first),
        /** From the start of the page, the document's way and its reading included. */
        matrixMs: Math.round(paint.matrix),
        cellsInPage: cells,
        updateMs: median(updates.map(({ taskMs }) => taskMs)),
        updateScriptMs: median(updates.map(({ scriptMs }) => scriptMs)),
        scrollStepMs: rounded(scroll.taskMs / SCROLLS),
        scrollStepScriptMs: rounded(scroll.scriptMs / SCROLLS),
        heapBytes: await heapOf(session),
      },
      null,
      2,
    )}\n`,
  )
} finally {
  await browser.close()
  stream?.destroy()
  server.close()
}

async function sendDelta(page: Page, delta: string): Promise<void> {
  await page.evaluate(`new Promise((resolve) => {
    window.changed = false
    const observer = new MutationObserver(() => { window.changed = true; observer.disconnect() })
    observer.observe(document.querySelector('main'), { subtree: true, childList: true, characterData: true, attributes: true })
    resolve()
  })`)
  stream!.write(`event: status\ndata: ${delta}\n\n`)
  await page.waitForFunction('window.changed')
}

async function scrollThrough(page: Page): Promise<void> {
  await page.evaluate(`(async () => {
    const matrix = document.querySelector('.matrix')
    for (let i = 1; i <= ${SCROLLS}; i++) {
      matrix.scrollTop = (i / ${SCROLLS}) * (matrix.scrollHeight - matrix.clientHeight)
      matrix.scrollLeft = (i / ${SCROLLS}) * (matrix.scrollWidth - matrix.clientWidth)
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
    }
  })()`)
}

interface Cost {
  /** All that the main thread did: script, style, layout, painting. */
  readonly taskMs: number
  readonly scriptMs: number
}

async function costOf(session: CDPSession, page: Page, act: () => Promise<void>): Promise<Cost> {
  const before = await busySeconds(session)
  await act()
  await page.evaluate('new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))')
  const after = await busySeconds(session)
  return { taskMs: (after.task - before.task) * 1000, scriptMs: (after.script - before.script) * 1000 }
}

async function busySeconds(session: CDPSession): Promise<{ task: number; script: number }> {
  const { metrics } = await session.send('Performance.getMetrics')
  const of = (wanted: string): number => metrics.find(({ name }) => name === wanted)?.value ?? 0
  return { task: of('TaskDuration'), script: of('ScriptDuration') }
}

async function heapOf(session: CDPSession): Promise<number> {
  await session.send('HeapProfiler.collectGarbage')
  const { metrics } = await session.send('Performance.getMetrics')
  return metrics.find(({ name }) => name === 'JSHeapUsedSize')?.value ?? 0
}

function median(values: readonly number[]): number {
  return rounded(values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!)
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10
}
