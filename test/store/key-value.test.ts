import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import type { Store } from '../../src/store/store.ts'
import { openStore } from '../../src/store/store.ts'
import { tempDir } from './temp-dir.ts'

const implementations: Readonly<Record<string, (t: test.TestContext) => Promise<Store>>> = {
  'values in memory': async () => createMemoryStore(),
  'values in level': (t) => openStore({ dir: tempDir(t), clock: systemClock }),
}

for (const [name, open] of Object.entries(implementations)) {
  describe(name, () => {
    test('a value is what was last put under its key, until it is deleted', async (t) => {
      const store = await open(t)
      const values = store.values('pages')
      assert.equal(await values.get('a'), undefined)
      await values.put('a', utf8('1'))
      await values.put('a', utf8('2'), { sync: true })
      assert.deepEqual(new Uint8Array((await values.get('a'))!), utf8('2'))
      await values.delete('a')
      await values.delete('a')
      assert.equal(await values.get('a'), undefined)
      await store.close()
    })

    test('namespaces never see each other, even when one name begins the other', async (t) => {
      const store = await open(t)
      await store.values('page').put('s', utf8('1'))
      await store.values('pages').put('t', utf8('3'))
      assert.deepEqual(await keys(store, 'page'), ['s'])
      assert.deepEqual(await keys(store, 'pages'), ['t'])
      assert.equal(await store.values('page').get('t'), undefined)
      await store.close()
    })

    test('entries come in the order of their bytes, within the range, either way, up to the limit', async (t) => {
      const store = await open(t)
      const names = ['b', 'a', 'a/2', 'é', 'z', 'a/10', '\u{1F600}', '\uFFFD']
      await store.values('x').batch(names.map((key) => ({ type: 'put', key, value: utf8(key) })))
      const sorted = ['a', 'a/10', 'a/2', 'b', 'z', 'é', '\uFFFD', '\u{1F600}']
      assert.deepEqual(await keys(store, 'x'), sorted)
      assert.deepEqual(await keys(store, 'x', { reverse: true, limit: 2 }), ['\u{1F600}', '\uFFFD'])
      assert.deepEqual(await keys(store, 'x', { gte: 'a/', lt: 'a0' }), ['a/10', 'a/2'])
      assert.deepEqual(await keys(store, 'x', { limit: 0 }), [])
      await store.close()
    })

    test('a batch does all its operations, in order', async (t) => {
      const store = await open(t)
      const values = store.values('x')
      await values.put('old', utf8('1'))
      await values.batch(
        [
          { type: 'delete', key: 'old' },
          { type: 'put', key: 'new', value: utf8('1') },
          { type: 'put', key: 'new', value: utf8('2') },
        ],
        { sync: true },
      )
      assert.deepEqual(await keys(store, 'x'), ['new'])
      assert.deepEqual(new Uint8Array((await values.get('new'))!), utf8('2'))
      await store.close()
    })

    test('keys and namespaces that could be mistaken for others are refused', async (t) => {
      const store = await open(t)
      for (const namespace of ['', 'A', 'a\0b', 'a'.repeat(33)]) {
        assert.throws(() => store.values(namespace), { code: 'invalid' })
      }
      for (const key of ['', '\ud800', 'k'.repeat(1025)]) {
        await assert.rejects(async () => store.values('x').put(key, utf8('1')), { code: 'invalid' })
      }
      await store.close()
    })
  })
}

async function keys(store: Store, namespace: string, range = {}): Promise<string[]> {
  const found: string[] = []
  for await (const [key] of store.values(namespace).entries(range)) found.push(key)
  return found
}
