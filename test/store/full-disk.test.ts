/** A real file system that is too small, where root can mount one. The simulated disk covers every step elsewhere. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import type { Block } from '../../src/block/block.ts'
import { openStore } from '../../src/store/store.ts'
import { sampleBlock } from './sample-blocks.ts'
import { tempDir } from './temp-dir.ts'

const MIB = 1024 * 1024

for (const { name, reserveBytes } of [
  { name: 'with a reserve for index and records', reserveBytes: 12 * MIB },
  { name: 'without a reserve', reserveBytes: 0 },
]) {
  test(`a disk that fills up (${name}) refuses blocks, serves what it has, and takes more once there is room`, async (t) => {
    const mount = `${tempDir(t)}/tiny`
    fs.mkdirSync(mount)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', mount], { stdio: 'ignore' })
    } catch (error) {
      if (process.env.CI === 'true') throw error
      t.skip('needs root')
      return
    }
    try {
      const ballast = `${mount}/ballast`
      fs.writeFileSync(ballast, Buffer.alloc(6 * MIB))
      const dir = `${mount}/store`
      const open = () => openStore({ dir, clock: systemClock }, { reserveBytes, autoFlushBytes: MIB })
      let store = await open()
      const safe: Block[] = []
      let refused: { readonly block: Block; readonly error: unknown } | undefined
      for (let seed = 0; refused === undefined && seed < 300; seed++) {
        const block = sampleBlock(seed, 100_000)
        try {
          await store.blocks.put([block])
          await store.blocks.flush()
          safe.push(block)
        } catch (error) {
          refused = { block, error }
        }
      }
      assert.ok(isMirrorError(refused?.error, 'no-space'), String(refused?.error))
      assert.ok(safe.length > 40, `${safe.length} blocks fitted`)
      for (const { cid, bytes } of safe) assert.ok(Buffer.from(bytes).equals((await store.blocks.get(cid))!))
      if (reserveBytes > 0) await store.records.append([new Uint8Array(2000)])
      fs.rmSync(ballast)
      await store.blocks.put([refused!.block])
      await store.blocks.flush()
      safe.push(refused!.block)
      await store.close()
      store = await open()
      for (const { cid, bytes } of safe) assert.ok(Buffer.from(bytes).equals((await store.blocks.get(cid))!))
      await store.close()
    } finally {
      execFileSync('umount', ['-l', mount])
    }
  })
}
