/**
 * A process that fetches one snapshot into the store in the folder given, and prints a line of JSON for each step: to
 * be killed in mid-fetch. The origin is in the same process, in memory; its snapshot is the same at every start.
 */
import { systemClock } from '../../src/base/clock.ts'
import { openStore } from '../../src/store/store.ts'
import { createMesh, filesPlan, publish } from './mesh.ts'

const store = await openStore({ dir: process.argv[2]!, clock: systemClock })
const mesh = createMesh()
const hq = mesh.add('hq', 'east')
const lab = mesh.add('lab', 'west', store)
const { cid, snapshot } = await publish(hq, filesPlan(4000, 2000))
const { blocks } = snapshot.counts
const fetching = mesh.fetch(lab, cid)
hq.onServe = async () => {
  const { heldBlocks } = fetching.progress()
  process.stdout.write(`${JSON.stringify({ heldBlocks, blocks })}\n`)
  // Slow enough for the other side to read what was printed, and to kill at that point.
  await new Promise((resolve) => setImmediate(resolve))
}
const { fetchedBlocks, heldBlocks } = await fetching.done
await store.close()
process.stdout.write(`${JSON.stringify({ fetchedBlocks, heldBlocks, blocks })}\n`)
