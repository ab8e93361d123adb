/** The fuzzer's own inputs, a few hundred of the same ones each time: `npm run fuzz` goes on from there. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tryDelta } from '../../scripts/fuzzing/delta-target.ts'
import { createRandom } from '../../scripts/fuzzing/mutate.ts'

test('what hostile peers might send for deltas is refused as it should be, or means what it says', async () => {
  let taken = 0
  for (let seed = 0; seed < 500; seed++) if ((await tryDelta(createRandom(seed))).taken) taken++
  assert.ok(taken > 10 && taken < 400, `${taken} of 500 were taken`)
})
