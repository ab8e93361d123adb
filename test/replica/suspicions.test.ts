import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import {
  CONTRADICT_MS,
  createSuspicions,
  SPREAD_MS,
  SUSPECT_AFTER_MS,
  type Suspicions,
} from '../../src/replica/site-agent/suspicions.ts'

/** Crosses the mesh in so long. */
const FLOOD_MS = 1_500

interface Site {
  readonly suspicions: Suspicions
  readonly connected: Set<string>
  readonly heardAtMs: Map<string, number>
  readonly gone: string[]
}

/** Sites that hear each other as gossip lets them: every message reaches all that are up and in the same part. */
function makeMesh(count: number, { neighbours = count - 1, canContradict = true } = {}) {
  const clock = new VirtualClock(0)
  const names = Array.from({ length: count }, (_, i) => `s${i}`)
  const down = new Set<string>()
  const partOf = new Map<string, number>()
  const sites = new Map<string, Site>()
  const messages: { from: string; suspects: readonly string[] }[] = []
  let seed = 1
  const random = () => {
    seed = (seed * 48_271) % 0x7fffffff
    return seed / 0x7fffffff
  }

  function send(from: string, suspects: readonly string[]): void {
    if (down.has(from)) return
    messages.push({ from, suspects })
    clock.after(FLOOD_MS, () => {
      for (const [name, site] of sites) {
        if (name === from || down.has(name) || partOf.get(name) !== partOf.get(from)) continue
        site.heardAtMs.set(from, clock.monotonicMs())
        site.suspicions.told(suspects, name)
      }
    })
  }

  names.forEach((name, i) => {
    const connected = new Set<string>()
    for (let step = 1; step <= neighbours / 2 + 1; step++) {
      connected.add(names[(i + step) % count]!)
      connected.add(names[(i - step + count) % count]!)
    }
    connected.delete(name)
    const heardAtMs = new Map(names.map((each) => [each, 0]))
    const gone: string[] = []
    const suspicions = createSuspicions({
      clock,
      random,
      isMember: () => true,
      isConnected: (peer) => connected.has(peer),
      heardAtMs: (peer) => heardAtMs.get(peer),
      canContradict: () => canContradict,
      onSay: () => send(name, suspicions.say()),
      onSuspected: () => send(name, []),
      onGone: (peer) => gone.push(peer),
    })
    sites.set(name, { suspicions, connected, heardAtMs, gone })
  })

  return {
    clock,
    messages,
    names,
    sites,
    send,
    kill(name: string) {
      down.add(name)
      for (const site of sites.values()) if (site.connected.delete(name)) site.suspicions.lost(name)
    },
    cut(some: readonly string[]) {
      for (const name of some) partOf.set(name, 1)
      for (const [name, site] of sites) {
        for (const other of [...site.connected]) {
          if (partOf.get(other) === partOf.get(name)) continue
          site.connected.delete(other)
          site.suspicions.lost(other)
        }
      }
    },
    knowing: (name: string) =>
      [...sites].filter(([each, { suspicions }]) => each !== name && suspicions.isGone(name)).length,
  }
}

test('a site that died is known to be gone everywhere within two minutes, for a few messages', () => {
  for (const [count, neighbours] of [
    [3, 2],
    [100, 99],
    [1000, 128],
  ] as const) {
    const mesh = makeMesh(count, { neighbours })
    mesh.kill('s0')
    mesh.clock.advanceTo(SUSPECT_AFTER_MS - 1)
    assert.equal(mesh.messages.length, 0, 'a restart takes less')
    mesh.clock.advanceTo(SUSPECT_AFTER_MS + SPREAD_MS + FLOOD_MS + CONTRADICT_MS + 100)
    assert.equal(mesh.knowing('s0'), count - 1, `${count} sites`)
    for (const [name, { gone }] of mesh.sites) if (name !== 's0') assert.deepEqual(gone, ['s0'])
    // As src/replica/status/announcement-sender.ts reckons: 3.5 copies by each site, and what is around a message.
    const bytes = mesh.messages.length * 3.5 * (480 + 100)
    assert.ok(mesh.messages.length <= 40, `${mesh.messages.length} messages`)
    if (process.env.SHOW !== undefined) console.log(count, mesh.messages.length, Math.round(bytes))
    mesh.clock.advanceTo(3_600_000)
    assert.ok(mesh.messages.length <= 40, 'and then it is quiet')
  }
})

test('a site that is up cannot be talked away, whoever lost it', () => {
  const mesh = makeMesh(50)
  for (const [name, { connected, suspicions }] of mesh.sites) {
    if (name === 's7' || name === 's8') continue
    connected.delete('s7')
    suspicions.lost('s7')
  }
  for (let atMs = 0; atMs < 200_000; atMs += 500) {
    mesh.clock.advanceTo(atMs)
    assert.equal(mesh.knowing('s7'), 0)
  }
  assert.ok(
    mesh.messages.some(({ from }) => from === 's7'),
    'it says that it is there',
  )
})

test('one that is heard of or connected again is back at once, and one that cannot contradict is never gone', () => {
  const mesh = makeMesh(4)
  mesh.kill('s0')
  mesh.clock.advanceTo(120_000)
  assert.equal(mesh.knowing('s0'), 3)
  mesh.sites.get('s1')!.connected.add('s0')
  mesh.sites.get('s2')!.heardAtMs.set('s0', 120_001)
  assert.equal(mesh.knowing('s0'), 1)
  const old = makeMesh(4, { canContradict: false })
  old.kill('s0')
  old.clock.advanceTo(600_000)
  assert.equal(old.knowing('s0'), 0)
})

test('of a mesh that is cut each half says of the other that it is gone, together and not one by one', () => {
  const mesh = makeMesh(60)
  mesh.cut(mesh.names.slice(0, 30))
  mesh.clock.advanceTo(120_000)
  assert.equal(mesh.knowing('s0'), 30)
  assert.equal(mesh.knowing('s59'), 30)
  assert.equal(mesh.sites.get('s1')!.gone.length, 30)
  assert.ok(mesh.messages.length <= 20, `${mesh.messages.length} messages`)
})
