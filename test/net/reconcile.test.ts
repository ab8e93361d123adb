import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noise, withPair } from './mesh.ts'

const cases = [
  { name: 'nothing on either side', shared: 0, onlyHere: 0, onlyThere: 0 },
  { name: 'everything on one side', shared: 0, onlyHere: 300, onlyThere: 0 },
  { name: 'everything on the other', shared: 0, onlyHere: 0, onlyThere: 300 },
  { name: 'the same on both', shared: 500, onlyHere: 0, onlyThere: 0 },
  { name: 'a few different among many', shared: 3000, onlyHere: 7, onlyThere: 11 },
  { name: 'all different', shared: 0, onlyHere: 1000, onlyThere: 1000 },
]

for (const { name, shared, onlyHere, onlyThere } of cases) {
  test(`reconciling ${name} gives both sides the union, each record sent once`, async () => {
    await withPair(async (a, b) => {
      for (let i = 0; i < shared; i++) {
        const record = noise(40)
        a.records.add(record)
        b.records.add(record)
      }
      for (let i = 0; i < onlyHere; i++) a.records.add(noise(200))
      for (let i = 0; i < onlyThere; i++) b.records.add(noise(200))
      const result = await a.host.reconcile(b.host.peerId)
      assert.deepEqual(result, { received: onlyThere, sent: onlyHere })
      assert.deepEqual(a.records.ids(), b.records.ids())
      assert.equal(a.records.ids().length, shared + onlyHere + onlyThere)
      const offered = b.records.offers.reduce((sum, { count }) => sum + count, 0)
      assert.equal(offered, onlyHere)
    })
  })
}

test('records of the largest size pass', async () => {
  await withPair(async (a, b) => {
    for (let i = 0; i < 20; i++) a.records.add(noise(64 * 1024))
    await a.host.reconcile(b.host.peerId)
    assert.deepEqual(b.records.ids(), a.records.ids())
  })
})

test('refused records do not stop the others, nor the end', async () => {
  await withPair(async (a, b) => {
    b.records.refuse = (record) => (record[0]! < 128 ? 'not today' : undefined)
    a.records.refuse = (record) => (record[0]! < 128 ? 'not today' : undefined)
    for (let i = 0; i < 50; i++) {
      a.records.add(noise(64))
      b.records.add(noise(64))
    }
    const bad = (records: Iterable<Uint8Array>): number =>
      [...records].filter((record) => record[0]! < 128).length
    const here = bad(a.records.held.values())
    const { received } = await a.host.reconcile(b.host.peerId)
    assert.equal(bad(a.records.held.values()), here)
    assert.equal(received, a.records.held.size - 50)
  })
})

test('both sides may start at the same time', async () => {
  await withPair(async (a, b) => {
    for (let i = 0; i < 100; i++) {
      a.records.add(noise(64))
      b.records.add(noise(64))
    }
    await Promise.all([a.host.reconcile(b.host.peerId), b.host.reconcile(a.host.peerId)])
    assert.equal(a.records.held.size, 200)
    assert.deepEqual(a.records.ids(), b.records.ids())
  })
})

test('a reconciliation can be called off', async () => {
  await withPair(async (a, b) => {
    b.records.add(noise(10))
    const cancel = new AbortController()
    a.records.offer = () => {
      cancel.abort(new Error('called off'))
      return new Promise(() => undefined)
    }
    await assert.rejects(a.host.reconcile(b.host.peerId, cancel.signal), /called off/)
  })
})
