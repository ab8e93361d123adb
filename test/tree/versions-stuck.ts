/**
 * Moves a folder of versions to one snapshot, says when it comes to a step, and waits there to be killed:
 * `versions-stuck.ts STORE DIR SEQUENCE SNAPSHOT VERSIONS STEP`. With the step `none` it goes on from sequence to
 * sequence without end.
 */
import { systemClock } from '../../src/base/clock.ts'
import { parseCid } from '../../src/block/cid.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { openStore } from '../../src/store/store.ts'
import { createCheckoutStorage } from '../../src/tree/checkout/checkout-storage.ts'
import { checkOutVersion } from '../../src/tree/versions/versions.ts'

const [dir, folder, sequence, snapshot, versions, step] = process.argv.slice(2) as string[]
const { blocks } = await openStore({ dir: dir!, clock: systemClock })
const real = createCheckoutStorage({ blocks })
let removals = 0

async function reach(name: string): Promise<void> {
  if (name !== step) return
  console.log(name)
  await new Promise<never>(() => setTimeout(() => undefined, 2 ** 30))
}

const storage: typeof real = {
  async beforeSwitch(finished) {
    await real.beforeSwitch(finished)
    await reach('written')
  },
  async afterSwitch(switched) {
    await reach('in-place')
    await real.afterSwitch(switched)
  },
  async beforeRemoval(target, signal) {
    removals += 1
    if (removals === 1) await reach('latest-switched')
    await real.beforeRemoval(target, signal)
    if (removals === 1) await reach('blocks-saved')
    if (removals === 2) await reach('hidden')
  },
  find: () => real.find(),
}
const cid = parseCid(snapshot!)
const { root } = decodeSnapshot(cid, (await blocks.get(cid))!)
if (step === 'none') console.log('started')
for (let next = Number(sequence); ; next++) {
  await checkOutVersion(
    { blocks, clock: systemClock, storage },
    {
      root,
      dir: folder!,
      sequence: next,
      versions: Number(versions),
      label: { tree: 'test', snapshot: snapshot! },
    },
  )
  if (step !== 'none') break
}
