/**
 * Imports with three threads that share its files, and kills itself in the middle:
 * `import-killed.ts DIR SOURCE STEP`. STEP is "claim N", "commit N" (it begins) or "committed N".
 */
import { systemClock } from '../../src/base/clock.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import { openStore } from '../../src/store/store.ts'
import { importTree } from '../../src/tree/import/import.ts'

const [dir = '', source = '', step] = process.argv.slice(2)
const store = await openStore({ dir: `${dir}/store`, clock: systemClock })
const { blocks } = store
const counts = { claim: 0, commit: 0, committed: 0 }

function reach(what: keyof typeof counts): void {
  counts[what] += 1
  if (step === `${what} ${counts[what]}`) process.kill(process.pid, 'SIGKILL')
}

const killing: BlockStore = {
  ...blocks,
  async claimSpace(sizeBytes) {
    reach('claim')
    await blocks.claimSpace(sizeBytes)
  },
  async commitPacked(packId, entries) {
    reach('commit')
    await blocks.commitPacked(packId, entries)
    reach('committed')
  },
}
await importTree(
  { blocks: killing, tempDir: `${dir}/tmp`, clock: systemClock },
  { path: source, tree: 'test', workers: 3, spanBytes: 256 * 1024 },
)
