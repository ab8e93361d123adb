/** A disk with an index on it, and the stores of one node that are opened on them. */
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { CorruptBlock } from '../../src/store/block-store.ts'
import { openFileRecordLog } from '../../src/store/file-record-log.ts'
import { loadOwners } from '../../src/store/owners.ts'
import { openPackStore } from '../../src/store/pack-store.ts'
import { createPackIndex } from '../../src/store/packs/pack-index.ts'
import { seededRandom } from './sample-blocks.ts'
import type { SimulatedDisk } from './simulated-disk.ts'
import { createSimulatedDisk } from './simulated-disk.ts'
import type { SimulatedIndex } from './simulated-index.ts'
import { createSimulatedIndex } from './simulated-index.ts'

export interface Machine {
  readonly disk: SimulatedDisk
  readonly index: SimulatedIndex
}

export async function newMachine(): Promise<Machine> {
  const disk = createSimulatedDisk()
  return { disk, index: await createSimulatedIndex(disk) }
}

export async function losePower({ disk, index }: Machine, seed: number): Promise<Machine> {
  const random = seededRandom(seed)
  const after = disk.afterPowerLoss(random)
  return { disk: after, index: await index.afterPowerLoss(after, random) }
}

/** What was opened before is left as a killed process leaves it. */
export async function openBlocks({ disk, index }: Machine) {
  const damage: CorruptBlock[] = []
  const log = () => undefined
  const onCorrupt = (found: CorruptBlock) => void damage.push(found)
  const blocks = await openPackStore(
    {
      files: disk,
      index: await createPackIndex(index),
      owners: await loadOwners(index),
      clock: new VirtualClock(),
      log,
      onCorrupt,
    },
    { dir: '/s/packs', maxPackBytes: 2500, autoFlushBytes: 900, reserveBytes: 0 },
  )
  return { blocks, damage }
}

export function openRecords(disk: SimulatedDisk, onCorrupt: (found: CorruptBlock) => void = () => undefined) {
  return openFileRecordLog({ files: disk, log: () => undefined, onCorrupt }, { dir: '/s' })
}
