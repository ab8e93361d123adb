/** `topology apply` and `topology show`, on two running nodes; and the meter of rates beside them. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TopologyDocument } from '../../node/api/answers.ts'
import { createRateMeter } from '../../node/rate-meter.ts'
import type { TopologyChange } from '../../node/topology/changes.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { foundMesh, joinMesh } from './founded-mesh.ts'
import { freePort, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

interface Applied {
  readonly isDryRun: boolean
  readonly version: number | null
  readonly changes: readonly TopologyChange[]
  readonly warnings: readonly string[]
}

const FILE = `
regions:
  eu: { up: 25 Mbit/s, down: 100 Mbit/s }
  us: { up: 1 Gbit/s }
sites:
  lab: { region: us, down: 10 Mbit/s, reachable: false }
  later: { up: 5 Mbit/s }
paths:
  - { between: [us, eu], rtt: 90 ms, rate: 50 Mbit/s, cost: 3 }
`

test('an admin declares a topology; every node shows it, and what it measures', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [hq, lab, file, source] = [
    join(dir, 'hq'),
    join(dir, 'lab'),
    join(dir, 'links.yaml'),
    join(dir, 'src'),
  ]
  await foundMesh(hq, { listen: `127.0.0.1:${await freePort()}` })
  await startDaemon(t, hq)
  await joinMesh(lab, hq)
  await startDaemon(t, lab)
  await writeFile(file, FILE)
  const at = (home: string, ...args: string[]): string[] => ['topology', ...args, '--home', home]
  assert.match(await succeed(at(hq, 'show')), /^nothing is declared/)

  await t.test('a dry run says what would change, and changes nothing', async () => {
    const dry = await succeedJson<Applied>(at(hq, 'apply', file, '--dry-run'))
    assert.deepEqual([dry.isDryRun, dry.version, dry.changes.length], [true, null, 5])
    assert.ok(dry.changes.every(({ change }) => change === 'added'))
    assert.deepEqual(dry.warnings, [
      'there is no site later yet',
      'lab is in region eu, as its membership says, not in us',
    ])
    assert.equal((await succeedJson<TopologyDocument>(at(hq, 'show'))).declared, null)
  })

  await t.test('what is applied reaches the other node', async () => {
    const outcome = await mirrormesh(at(hq, 'apply', file))
    assert.equal(outcome.status, 0, outcome.stderr)
    assert.match(outcome.stdout, /^\+ region eu: up 25 Mbit\/s, down 100 Mbit\/s$/m)
    assert.match(outcome.stdout, /^\+ site lab: down 10 Mbit\/s, cannot be dialled$/m)
    assert.match(outcome.stdout, /^\+ path region eu - us: 90 ms, 50 Mbit\/s, cost 3$/m)
    assert.match(outcome.stdout, /^5 changes, declared as version 1$/m)
    assert.match(outcome.stderr, /note: there is no site later yet/)
    const seen = await until('the lab has it', async () => {
      const found = await succeedJson<TopologyDocument>(at(lab, 'show'))
      return found.declared !== null && found.measured.length === 1 && found
    })
    const [path] = seen.measured
    assert.deepEqual([seen.declared?.version, path?.site, path?.pathClass], [1, 'hq', 'wan'])
    assert.deepEqual([path?.declaredRttMs, path?.declaredKbit, path?.declaredCost], [90, 50_000, 3])
    // Of a loopback, whatever is declared.
    const measured = await until('a ping is answered', async () => {
      const found = await succeedJson<TopologyDocument>(at(lab, 'show'))
      return found.measured[0]?.rttMs ?? undefined
    })
    assert.ok(measured >= 0 && measured < 1000, `${measured} ms`)
  })

  await t.test('what is shown as JSON can be applied again, and changes nothing', async () => {
    const { declared } = await succeedJson<TopologyDocument>(at(hq, 'show'))
    await writeFile(join(dir, 'again.json'), JSON.stringify(declared))
    const same = await succeedJson<Applied>(at(hq, 'apply', join(dir, 'again.json')))
    assert.deepEqual([same.version, same.changes], [1, []])
    await writeFile(file, FILE.replace('25 Mbit', '50 Mbit').replace(/ {2}later.*\n/, ''))
    const outcome = await succeed(at(hq, 'apply', file))
    assert.match(
      outcome,
      /^~ region eu: up 25 Mbit\/s, down 100 Mbit\/s -> up 50 Mbit\/s, down 100 Mbit\/s$/m,
    )
    assert.match(outcome, /^- site later: up 5 Mbit\/s$/m)
    assert.match(outcome, /declared as version 2$/m)
  })

  await t.test('faults: no admin, no such file, a wrong file', async () => {
    // Made up by the lab, which has no admin's key.
    const refused = await mirrormesh(at(lab, 'apply', join(dir, 'again.json')))
    assert.equal(refused.status, 6, refused.stderr)
    assert.match(refused.stderr, /needs the key of an admin/)
    assert.equal((await mirrormesh(at(hq, 'apply', join(dir, 'none.yaml')))).status, 5)
    await writeFile(file, 'regions:\n  eu: { up: 25 MB/s }\n')
    const wrong = await mirrormesh(at(hq, 'apply', file))
    assert.equal(wrong.status, 2)
    assert.match(wrong.stderr, /links\.yaml:2: regions\.eu\.up: is not a rate, such as "25 Mbit\/s"/)
    const sites = Array.from(
      { length: 1000 },
      (_, i) => `  a-rather-long-name-of-a-site-${i}: { up: 999999, down: 999999 }`,
    )
    await writeFile(file, `sites:\n${sites.join('\n')}\n`)
    const large = await mirrormesh(at(hq, 'apply', file))
    assert.equal(large.status, 6, large.stderr)
    assert.match(large.stderr, /there is no site a-rather-long-name-of-a-site-0, .* \(and 995 more\) yet/)
    assert.match(large.stderr, /too large for one record.*Declare regions/s)
  })

  await t.test('rates are those of what was exchanged', async () => {
    await mkdir(source)
    await writeFile(join(source, 'image'), randomFillSync(Buffer.allocUnsafe(8_000_000)))
    await succeed(['publish', source, '--home', hq, '--tree', 'x'])
    await succeed(['pin', 'add', 'x', '--home', hq, '--site', 'lab'])
    const rate = await until('the bytes are measured', async () => {
      const [path] = (await succeedJson<TopologyDocument>(at(lab, 'show'))).measured
      return path !== undefined && path.maxReceivedBytesPerSecond > 1_000_000 && path
    })
    assert.ok(rate.maxSentBytesPerSecond < rate.maxReceivedBytesPerSecond)
    assert.match(await succeed(at(lab, 'show')), /hq +us +wan +[\d.]+ ms +90 ms/)
  })
})

test('the meter shows the rate of the last seconds, and the greatest', () => {
  const clock = new VirtualClock(0)
  let counters = [{ peer: 'a', bytesSent: 500, bytesReceived: 0, blocksSent: 0, blocksReceived: 0 }]
  const meter = createRateMeter({ host: { traffic: () => counters }, clock }, { everyMs: 5000 })
  meter.start()
  clock.advanceTo(5000)
  assert.equal(meter.of('a').sentBytesPerSecond, 0, 'what came before is no rate')
  counters = [{ ...counters[0]!, bytesSent: 5500, bytesReceived: 10_000 }]
  clock.advanceTo(10_000)
  assert.deepEqual([meter.of('a').sentBytesPerSecond, meter.of('a').receivedBytesPerSecond], [1000, 2000])
  clock.advanceTo(15_000)
  assert.deepEqual([meter.of('a').sentBytesPerSecond, meter.of('a').maxSentBytesPerSecond], [0, 1000])
  // One that was met, and sent all that it had, between two looks.
  counters.push({ peer: 'c', bytesSent: 0, bytesReceived: 5000, blocksSent: 0, blocksReceived: 0 })
  clock.advanceTo(20_000)
  assert.equal(meter.of('c').receivedBytesPerSecond, 1000)
  // Forgotten, and counted anew.
  counters = [{ ...counters[0]!, bytesSent: 10, bytesReceived: 10 }]
  clock.advanceTo(25_000)
  assert.deepEqual(meter.of('a').sentBytesPerSecond, 0)
  meter.stop()
  assert.equal(clock.nextMs(), undefined)
  assert.equal(meter.of('b').maxSentBytesPerSecond, 0)
})
