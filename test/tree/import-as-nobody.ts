/** Imports a tree as the user nobody and prints what was captured: `import-as-nobody.ts SOURCE SCRATCH`. */
import { systemClock } from '../../src/base/clock.ts'
import type { MirrorError } from '../../src/base/errors.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { importTree } from '../../src/tree/import/import.ts'

const NOBODY = 65_534
const [source, scratch] = process.argv.slice(2) as [string, string]
process.setgroups?.([])
process.setgid?.(NOBODY)
process.setuid?.(NOBODY)
// The folder of the test may be closed to this user.
process.env.TMPDIR = scratch
const store = createMemoryStore()
try {
  const { files, uncaptured } = await importTree(
    { blocks: store.blocks, tempDir: scratch, clock: systemClock },
    { path: source, tree: 'test' },
  )
  console.log(JSON.stringify({ files, uncaptured }))
} catch (error) {
  console.log(JSON.stringify({ code: (error as MirrorError).code }))
}
await store.close()
