/** An index that shares a simulated disk: a power loss leaves the synced batches and some of those after them, in order. */
import { asMirrorError } from '../../src/base/errors.ts'
import type { Index, IndexOperation } from '../../src/store/index/index.ts'
import { createMemoryIndex } from '../../src/store/index/memory-index.ts'
import type { SimulatedDisk } from './simulated-disk.ts'
import { PowerLoss } from './simulated-disk.ts'

type Batch = readonly IndexOperation[]

export interface SimulatedIndex extends Index {
  afterPowerLoss(disk: SimulatedDisk, random: () => number): Promise<SimulatedIndex>
}

export async function createSimulatedIndex(
  disk: SimulatedDisk,
  durableBatches: readonly Batch[] = [],
): Promise<SimulatedIndex> {
  const memory = createMemoryIndex()
  const batches: Batch[] = [...durableBatches]
  let durable = batches.length
  for (const batch of batches) await memory.batch(batch, { sync: true })

  return {
    getMany: memory.getMany,
    entries: memory.entries,
    async close() {
      // What is durable outlives the handle.
    },
    async batch(operations, { sync }) {
      const copy = operations.map((operation) => ({ ...operation }))
      try {
        disk.count('index')
      } catch (error) {
        // A lost power may have come after the log was written; a refused write leaves nothing (see level-index.ts).
        if (error instanceof PowerLoss) batches.push(copy)
        throw asMirrorError(error, 'write the index')
      }
      batches.push(copy)
      await memory.batch(copy, { sync })
      if (sync) durable = batches.length
    },
    afterPowerLoss(after, random) {
      const left = durable + Math.floor(random() * (batches.length - durable + 1))
      return createSimulatedIndex(after, batches.slice(0, left))
    },
  }
}
