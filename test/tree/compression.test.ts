import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { encodeEntry } from '../../src/dag/entry.ts'
import { closure } from '../../src/dag/reader.ts'
import { openStore } from '../../src/store/store.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { tempDir } from '../store/temp-dir.ts'

test('a tree imported with compression has the same root, takes less of the disk, and comes back as it was', async (t) => {
  const dir = tempDir(t)
  fs.mkdirSync(`${dir}/source/logs`, { recursive: true })
  const log = Buffer.from(Array.from({ length: 60_000 }, (_, i) => `${i}: all is well\n`).join(''))
  const noise = randomBytes(300_000)
  fs.writeFileSync(`${dir}/source/big.log`, log)
  fs.writeFileSync(`${dir}/source/noise`, noise)
  for (let i = 0; i < 300; i++) fs.writeFileSync(`${dir}/source/logs/${i}`, `${i} `.repeat(2500))

  const roots: string[] = []
  const sizes: number[] = []
  for (const compression of ['none', 'zstd'] as const) {
    const store = await openStore({ dir: `${dir}/${compression}`, clock: systemClock })
    const { blocks } = store
    const { snapshot, newBlocks } = await importTree(
      { blocks, tempDir: dir, clock: systemClock },
      { path: `${dir}/source`, tree: 'logs', compression },
    )
    assert.equal(newBlocks, store.stats().blocks)
    roots.push(Buffer.from(encodeEntry(snapshot.root)).toString('hex'))
    sizes.push(store.stats().packBytes)
    const encodings = new Map<string, number>()
    for await (const { cid, lengthBytes } of closure(blocks, snapshot.root)) {
      const [place] = await blocks.locate([cid])
      assert.equal(place?.lengthBytes, lengthBytes)
      encodings.set(place.encoding, 1 + (encodings.get(place.encoding) ?? 0))
    }
    assert.ok(compression === 'none' ? !encodings.has('zstd') : encodings.get('zstd')! > 300)
    assert.ok(encodings.get('plain')! >= 2, 'noise stays plain')

    await checkOut({ blocks, clock: systemClock }, { root: snapshot.root, dest: `${dir}/out-${compression}` })
    assert.ok(fs.readFileSync(`${dir}/out-${compression}/big.log`).equals(log))
    assert.ok(fs.readFileSync(`${dir}/out-${compression}/noise`).equals(noise))
    assert.equal(fs.readFileSync(`${dir}/out-${compression}/logs/7`, 'utf8'), '7 '.repeat(2500))
    const again = await importTree(
      { blocks, tempDir: dir, clock: systemClock },
      { path: `${dir}/source`, tree: 'logs', compression: 'none' },
    )
    assert.ok(again.newBlocks <= 1, 'what is stored in one encoding is not stored in another')
    await store.close()
  }
  assert.equal(roots[0], roots[1])
  assert.ok(sizes[1]! < 0.5 * sizes[0]!, `${sizes[1]} of ${sizes[0]} bytes`)
})
