/** The dashboard and the alert rules, held against what /metrics of this program has. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { createMetrics } from '../../node/gateway/metrics.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { STATUSES } from './monitoring-status.ts'

const FOLDER = join(import.meta.dirname, '../../docs/monitoring')

/** Every series of /metrics, by name, with the values that each label has there. */
async function seriesOf(status: StatusDocument): Promise<Map<string, Map<string, Set<string>>>> {
  const metrics = createMetrics(() => status, {
    readCare: () => ({
      blocks: 1,
      packBytes: 1,
      collections: 1,
      collectedBytes: 1,
      freedBytes: 1,
      lastCollectionMs: 1,
      scrubbedBytes: 1,
      damagedBlocks: 0,
      lastScrubMs: 1,
    }),
    readRelayed: () => ({ bytes: 0, circuits: 0, reservations: 0, heldBytes: 4 }),
    readProtocols: () => [
      { protocol: '/p', bytesSent: 1, bytesReceived: 1, messagesSent: 1, messagesReceived: 1 },
    ],
  })
  metrics.requestDone('GET', 503, 1)
  metrics.refused('bodies')
  const found = new Map<string, Map<string, Set<string>>>()
  for (const line of (await metrics.registry.metrics()).split('\n')) {
    const [, name, labels = ''] = /^([a-z_]+)(?:\{(.*)\})? /.exec(line) ?? []
    if (name === undefined) continue
    const known = found.get(name) ?? new Map<string, Set<string>>()
    for (const [, label, value] of labels.matchAll(/(\w+)="([^"]*)"/g)) {
      known.set(label!, (known.get(label!) ?? new Set()).add(value!))
    }
    found.set(name, known)
  }
  return found
}

interface Dashboard {
  readonly panels: readonly {
    readonly title: string
    readonly id: number
    readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[]
  }[]
}
interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string
      readonly expr: string
      readonly annotations: { readonly summary: string; readonly action: string }
    }[]
  }[]
}

const dashboard = JSON.parse(readFileSync(join(FOLDER, 'grafana-dashboard.json'), 'utf8')) as Dashboard
const rules = parse(readFileSync(join(FOLDER, 'alerts.yml'), 'utf8')) as Rules
const expressions = [
  ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ where: title, expr }))),
  ...rules.groups.flatMap((group) => group.rules.map(({ alert, expr }) => ({ where: alert, expr }))),
]

test('every metric and label that dashboard and rules name is one of /metrics, with that value', async () => {
  const series = await seriesOf(STATUSES.withTrouble)
  assert.ok(expressions.length > 25)
  for (const { where, expr } of expressions) {
    const named = [...expr.matchAll(/\b(mirrormesh_\w+|process_\w+)(?:\{([^}]*)\})?/g)]
    assert.ok(named.length > 0 || /^up\{/.test(expr), `${where}: ${expr} names no metric of ours`)
    for (const [, name = '', selectors = ''] of named) {
      const labels = series.get(name)
      assert.ok(labels !== undefined, `${where}: there is no ${name}`)
      for (const [, label = '', operator, value = ''] of selectors.matchAll(/(\w+)(=~|!=|=)"([^"]*)"/g)) {
        if (label === 'instance') continue
        const values = labels.get(label)
        assert.ok(values !== undefined, `${where}: ${name} has no label ${label}`)
        const isThere =
          operator === '=~'
            ? [...values].some((each) => new RegExp(`^(?:${value})$`).test(each))
            : values.has(value)
        assert.ok(isThere, `${where}: no ${name} has ${label}="${value}"`)
      }
    }
    for (const [, list = ''] of expr.matchAll(/\b(?:by|without) \(([^)]*)\)/g)) {
      for (const label of list.split(/, */)) {
        const isKnown =
          label === 'instance' || named.some(([, name]) => series.get(name!)?.has(label) === true)
        assert.ok(isKnown, `${where}: nothing has the label ${label}`)
      }
    }
  }
})

test('lag, failures and free space are what the status says', async () => {
  const registry = createMetrics(() => STATUSES.withTrouble, {
    clock: { nowMs: () => 10_000, monotonicMs: () => 0, after: () => () => undefined },
  }).registry
  const text = await registry.metrics()
  for (const line of [
    'mirrormesh_info{site="hq",region="eu",version="1.2.3"} 1',
    'mirrormesh_own_replicas{state="behind"} 1',
    'mirrormesh_own_replicas{state="failing"} 1',
    'mirrormesh_lag_seconds{where="here"} 4',
    'mirrormesh_lag_seconds{where="anywhere"} 9',
    'mirrormesh_store_free_bytes 77',
    'mirrormesh_sites{state="silent"} 1',
  ]) {
    assert.ok(text.includes(`\n${line}\n`), `${line}\n${text}`)
  }
})

test('panels and rules are whole: ids once, every rule with what to do', () => {
  const ids = dashboard.panels.map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length)
  for (const { alert, annotations } of rules.groups.flatMap((group) => group.rules)) {
    assert.ok(annotations.summary.length > 0 && annotations.action.length > 0, alert)
  }
  assert.deepEqual(readdirSync(FOLDER).toSorted(), ['alerts.yml', 'grafana-dashboard.json'])
})
