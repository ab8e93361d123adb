/** The thread that reads and verifies what is lent. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { cidOf, cidToKeyBytes, RAW } from '../../src/block/cid.ts'
import { createLenderThread, type ReadJob } from '../../src/tree/lender-thread.ts'

test('many jobs at a time come back, each with its memory and what is right in it', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'lender-thread-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const [path, short] = [join(dir, 'pack'), join(dir, 'short')]
  const bytes = randomBytes(400_000)
  writeFileSync(path, bytes)
  writeFileSync(short, bytes.subarray(0, 1500))
  const thread = createLenderThread()
  const blockAt = (startByte: number, at: number, run: number): ReadJob['blocks'][number] => ({
    key: cidToKeyBytes(cidOf(RAW, bytes.subarray(startByte, startByte + 1000))),
    ...{ at, lengthBytes: 1000, run },
  })
  await Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      const startByte = i * 3000
      const slab = new ArrayBuffer(8192)
      const reply = await thread.read({
        slab,
        runs: [
          { path, startByte, lengthBytes: 2000, at: 0 },
          { path: short, startByte: 0, lengthBytes: 2000, at: 2000 },
          { path: join(dir, 'gone'), startByte: 0, lengthBytes: 1000, at: 4000 },
        ],
        blocks: [
          blockAt(startByte + 1000, 1000, 0),
          // Another's bytes: of a pack that was written anew, or of a disk that lies.
          blockAt(startByte + 7, 0, 0),
          blockAt(0, 2000, 1),
          blockAt(1000, 3000, 1),
          blockAt(0, 4000, 2),
        ],
      })
      assert.ok(reply !== undefined)
      assert.equal(slab.byteLength, 0, 'nobody can look at what is being read into')
      assert.deepEqual(reply.isRight, [true, false, true, false, false])
      assert.ok(bytes.subarray(startByte, startByte + 2000).equals(new Uint8Array(reply.slab, 0, 2000)))
    }),
  )
})

test('when the thread fails those who wait are told, and it is let alone for a while', async () => {
  const thread = createLenderThread()
  const good = { slab: new ArrayBuffer(8), runs: [], blocks: [] }
  // What no lender asks for: the thread ends with an error.
  const bad = {
    slab: new ArrayBuffer(8),
    runs: [],
    blocks: [{ key: new Uint8Array(3), at: 0, lengthBytes: 0, run: 0 }],
  }
  assert.deepEqual((await thread.read(good))?.isRight, [])
  assert.equal(
    await thread.read({ ...bad, runs: [{ path: '/dev/null', startByte: 0, lengthBytes: 0, at: 0 }] }),
    undefined,
  )
  assert.equal(await thread.read({ ...good, slab: new ArrayBuffer(8) }), undefined)
})
