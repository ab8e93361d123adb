/** Scenarios: what is read from files, what happens in them, and what `npm run simulate` prints. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { isMirrorError } from '../../src/base/errors.ts'
import { pathBetween, regionRate, siteRate } from '../../src/topology/topology.ts'
import type { SimulationReport } from '../../topology/report.ts'
import { readScenario, simulatedEvents, simulatedSites, withPipes } from '../../topology/scenario.ts'

const examples = resolve(import.meta.dirname, '../../topology')
const main = join(examples, 'main.ts')
const run = promisify(execFile)

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'scenario-test-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

test('a file of the emulator is the same as the example of its name', async (t) => {
  const file = join(folder(t), 'tiny.json')
  const pipe = { up_mbit: 100, down_mbit: 100, queue_ms: 100 }
  const content = {
    name: 'tiny',
    origin: 'hq',
    defaults: {
      access: { up_mbit: 1000, down_mbit: 1000, queue_ms: 20 },
      intra: { rtt_ms: 1 },
      inter: { rtt_ms: 60 },
    },
    regions: { us: pipe, eu: pipe },
    sites: { hq: { region: 'us', ...pipe }, 'eu-1': { region: 'eu' }, 'eu-2': { region: 'eu' } },
  }
  writeFileSync(file, JSON.stringify(content))
  const [emulated, example] = [await readScenario(file), await readScenario(join(examples, 'tiny.yaml'))]
  assert.deepEqual(emulated.places, example.places)
  assert.deepEqual(emulated.topology.regions, example.topology.regions)
  assert.deepEqual(emulated.topology.sites, example.topology.sites)
  assert.equal(emulated.wanRttMs, 60)
  const [hq, eu] = [
    { site: 'hq', region: 'us' },
    { site: 'eu-1', region: 'eu' },
  ]
  assert.equal(pathBetween(example.topology, hq, eu)?.rttMs, 60)
  assert.deepEqual(emulated.notes, [])

  const pairs = [{ sites: ['hq', 'eu-1'], rtt_ms: 90, loss_pct: 0.1, mbit: 20 }]
  writeFileSync(file, JSON.stringify({ ...content, pairs, regions: { us: { up_mbit: 0 }, eu: pipe } }))
  const lossy = await readScenario(file)
  assert.deepEqual(lossy.notes, ['losses are not simulated'])
  assert.equal(regionRate(lossy.topology, 'us').upKbit, undefined, '0 is no limit')
  assert.deepEqual(pathBetween(lossy.topology, eu, hq), { between: ['eu-1', 'hq'], rttMs: 90, kbit: 20_000 })
})

test('sites are made up, and events are told apart', async () => {
  const large = await readScenario(join(examples, 'labs1000.yaml'))
  assert.equal(large.places.length, 1000)
  assert.equal(new Set(large.places.map(({ site }) => site)).size, 1000)
  assert.equal(new Set(large.places.map(({ region }) => region)).size, 20)
  const faults = await readScenario(join(examples, 'faults.yaml'))
  assert.equal(simulatedSites(faults).find(({ site }) => site === 'apac-3')?.joinsMs, 60_000)
  assert.equal(simulatedSites(faults).find(({ site }) => site === 'eu-2')?.joinsMs, undefined)
  const events = simulatedEvents(faults)
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['stall', 'lie', 'kill', 'rate', 'cut', 'heal', 'restart'],
  )
  assert.deepEqual(events[4], { atMs: 20_000, kind: 'cut', between: ['region:apac', undefined] })
  const narrow = withPipes(faults, 5000)
  assert.deepEqual(siteRate(narrow.topology, 'hq').upKbit, 5000)
  assert.deepEqual(regionRate(narrow.topology, 'apac').downKbit, 5000)
})

test('what cannot be simulated is refused', async (t) => {
  const file = join(folder(t), 'x.yaml')
  for (const [message, text] of [
    [/does not say which site publishes/, 'sites: { a: { region: r } }'],
    [/the site a has no region/, 'origin: a\nsites: { a: { up: 1 }, b: { region: r } }'],
    [/there is no site b, the origin/, 'origin: b\nsites: { a: { region: r } }'],
    [/two sites or more/, 'origin: a\nsites: { a: { region: r } }'],
    [
      /there is no site c/,
      'origin: a\nsites: { a: { region: r }, b: { region: r } }\nevents: [{ at: 1, kill: c }]',
    ],
    [
      /there is no region q/,
      'origin: a\nsites: { a: { region: r }, b: { region: r } }\nevents: [{ at: 1, cut: "region:q" }]',
    ],
    [/x\.yaml: sites\.a\.region/, '{"origin": "a", "between": [], "regions": {}, "sites": {"a": {}}}'],
  ] as const) {
    writeFileSync(file, text)
    await assert.rejects(
      readScenario(file),
      (error) => isMirrorError(error, 'invalid') && message.test(error.message),
      String(message),
    )
  }
})

test('the program prints a report in which every figure is called simulated', async () => {
  const file = join(examples, 'tiny.yaml')
  const args = ['--disable-warning=ExperimentalWarning', main, file, '--size', '10MB']
  const { stdout } = await run(process.execPath, args)
  assert.match(stdout, /^simulated: tiny, 2 sites beside the origin, 10\.0 MB in 153 blocks$/m)
  assert.match(stdout, /^eu-1 +eu +[\d.]+ s +0\.8 s +1\.\d\d x$/m)
  for (const line of stdout
    .split('\n')
    .filter((each) => /egress|duplicates|messages|last site|median/.test(each)))
    assert.match(line, /simulated/, line)
  const json = await run(process.execPath, [...args, '--json', '--pipes', '10 Mbit/s', '--overhead', '1'])
  const report = JSON.parse(json.stdout) as SimulationReport
  assert.equal(report.isSimulated, true)
  assert.equal(report.boundSeconds, 8)
  assert.ok(report.lastToBound! >= 1 && report.lastToBound! < 1.2, `${report.lastToBound}`)
  assert.equal(report.incompleteSites, 0)
  assert.ok(report.regions.find(({ region }) => region === 'eu')!.wanIn >= 1)
  await assert.rejects(run(process.execPath, [main, file, '--size', 'much']), { code: 2 })
  await assert.rejects(run(process.execPath, [main, join(examples, 'none.yaml')]), { code: 5 })
  // Not complete at the limit.
  await assert.rejects(run(process.execPath, [...args, '--limit', '300 ms']), { code: 3 })
})
