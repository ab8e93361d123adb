/** The fuzzer's own inputs, a few hundred of the same ones each time: `npm run fuzz` goes on from there. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRandom } from '../../scripts/fuzzing/mutate.ts'
import { TARGETS } from '../../scripts/fuzzing/targets.ts'

for (const [name, target] of Object.entries(TARGETS)) {
  test(`${name}: what hostile peers might send is refused as it should be, or means what it says`, async () => {
    let taken = 0
    for (let seed = 0; seed < 500; seed++) if ((await target(createRandom(seed))).taken) taken++
    // A target whose inputs are all alike shows nothing.
    assert.ok(taken > 10 && taken < 490, `${taken} of 500 were taken`)
  })
}
