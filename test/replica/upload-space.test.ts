import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { createUploadSpace } from '../../src/replica/publish/upload-space.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'

const DAY_MS = 86_400_000

test('publishers together leave a quarter of the free space, whatever each of them may take', async () => {
  const disk = { freeBytes: 1000 }
  const clock = new VirtualClock(0)
  const values = createMemoryStore().values('uploads')
  const space = createUploadSpace({ clock, values, readFreeBytes: () => disk.freeBytes })
  const take = async (publisher: string, bytes: number): Promise<void> => {
    await space.take(publisher, bytes)
    disk.freeBytes -= bytes
  }
  await take('a', 400)
  await take('b', 250)
  await assert.rejects(take('c', 150), {
    code: 'no-space',
    message: /publishers have sent.*650 B, and 750 B/,
  })
  await take('c', 100)
  for (const each of ['a', 'b', 'c', 'd'])
    await assert.rejects(take(each, 1), { code: 'no-space' }, `${each}: nothing is left for keys together`)
  await space.giveBack('a', 400)
  disk.freeBytes += 400
  await take('d', 10)
})

test('the account outlives a restart, and a day without a word ends it', async () => {
  const clock = new VirtualClock(0)
  const values = createMemoryStore().values('uploads')
  const open = () => createUploadSpace({ clock, values, readFreeBytes: () => 1000 })
  const first = open()
  await first.take('a', 400)
  await first.take('b', 1)
  await first.giveBack('b', 1)
  const second = open()
  await assert.rejects(second.take('a', 400), { code: 'no-space' })
  await second.take('a', 100)
  clock.advanceTo(DAY_MS - 1)
  await assert.rejects(open().take('a', 600), { code: 'no-space' })
  clock.advanceTo(DAY_MS)
  await open().take('a', 500)
})
