/** The index on a disk that takes nothing more, and takes it again. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { isMirrorError } from '../../src/base/errors.ts'
import { openLevelIndex } from '../../src/store/index/level-index.ts'
import { tinyDisk } from '../node/tiny-disk.ts'

const MIB = 1024 * 1024

test('on a full disk the index is read on and writes are refused by name, until there is room', async (t) => {
  const disk = await tinyDisk(t, 24)
  if (disk === undefined) return
  const index = await openLevelIndex(path.join(disk, 'index'))
  t.after(() => index.close())
  const keyOf = (n: number) => new Uint8Array(Buffer.from(`k${String(n).padStart(6, '0')}`))
  const write = (n: number) =>
    index.batch([{ type: 'put', key: keyOf(n), value: new Uint8Array(100_000).fill(n) }], { sync: true })
  const readAll = async (count: number): Promise<void> => {
    const values = await index.getMany(Array.from({ length: count }, (_, n) => keyOf(n)))
    for (const [n, value] of values.entries()) assert.equal(value?.[99_999], n, `value ${n}`)
    let listed = 0
    for await (const _ of index.entries({ gte: keyOf(0), lt: keyOf(count) })) listed += 1
    assert.equal(listed, count)
  }
  for (let n = 0; n < 10; n++) await write(n)

  const filler = path.join(disk, 'filler')
  const fill = (): void => {
    const fd = fs.openSync(filler, 'a')
    try {
      for (const size of [MIB, 4096]) {
        try {
          for (;;) fs.writeSync(fd, Buffer.alloc(size, 1))
        } catch (error) {
          assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
        }
      }
    } finally {
      fs.closeSync(fd)
    }
  }
  fill()
  for (let attempt = 0; attempt < 3; attempt++) {
    await assert.rejects(write(10), (error) => isMirrorError(error, 'no-space'))
    await readAll(10)
  }
  // Too little to open it again: it stays as it is.
  fs.truncateSync(filler, fs.statSync(filler).size - MIB)
  await assert.rejects(write(10), (error) => {
    assert.ok(isMirrorError(error, 'no-space'))
    assert.match(error.message, /must be free to go on/)
    assert.match(error.hint ?? '', /goes on by itself/)
    return true
  })
  await readAll(10)
  assert.deepEqual(
    fs.readdirSync(disk).filter((name) => name.includes('probe')),
    [],
  )

  fs.rmSync(filler)
  for (let n = 10; n < 13; n++) await write(n)
  await readAll(13)
})
