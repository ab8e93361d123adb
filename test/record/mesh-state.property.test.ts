/** What holds for the state of a mesh, whatever its records are and however they come. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hex } from '../../src/base/bytes.ts'
import { createMeshStateBuilder, foldRecords } from '../../src/record/mesh-state-builder.ts'
import { proofOf } from '../../src/replica/records/proof.ts'
import { plain, plainState } from './plain-state.ts'
import { history, nodes, steps } from './random-history.ts'

test('the state depends on the set of records only: not on order, repetition or partition', () => {
  let forks = 0
  let heads = 0
  let admissions = 0
  let encodings = 0
  let lent = 0
  let byGrant = 0
  fc.assert(
    fc.property(
      steps.chain((script) => {
        const author = history(script)
        const shuffled = fc.shuffledSubarray(author.records, {
          minLength: author.records.length,
          maxLength: author.records.length,
        })
        return fc.tuple(
          fc.constant(author),
          shuffled,
          fc.array(fc.nat(author.records.length - 1), { maxLength: 10 }),
          fc.nat(),
        )
      }),
      ([author, order, repeated, cut]) => {
        const { mesh, records } = author
        const whole = foldRecords(records, mesh)
        const expected = plainState(whole)
        forks += [...whole.trees.values()].filter(({ fork }) => fork !== undefined).length
        heads += [...whole.trees.values()].reduce((sum, tree) => sum + tree.history.length, 0)
        encodings += [...whole.trees.values()].reduce((sum, tree) => sum + tree.encodings.size, 0)
        lent += [...whole.pins.values()].filter(({ origin }) =>
          nodes.some(({ peer }) => peer === origin.issuer),
        ).length
        byGrant += [...whole.trees.values()].filter(
          ({ epoch, newest }) => epoch?.isByGrant === true && newest !== undefined,
        ).length
        admissions += [...whole.members.values()].filter(({ invite }) => invite !== undefined).length

        assert.deepEqual(plainState(foldRecords(order, mesh)), expected, 'folded in another order')

        for (const sequence of [records, order]) {
          const one = createMeshStateBuilder(mesh)
          for (const record of sequence) one.add(record)
          assert.deepEqual(plainState(one.state), expected, 'one by one')
          for (const i of repeated) assert.equal(one.add(order[i]!).verdict === 'effective', false)
          assert.deepEqual(plainState(one.state), expected, 'repeated')
        }

        for (const i of repeated.slice(0, 4)) {
          const late = createMeshStateBuilder(mesh)
          for (const record of records) if (record !== records[i]) late.add(record)
          late.add(records[i]!)
          assert.deepEqual(plainState(late.state), expected, `record ${i} comes last`)
        }

        const at = cut % order.length
        const left = createMeshStateBuilder(mesh)
        const right = createMeshStateBuilder(mesh)
        left.addAll(order.slice(0, at))
        for (const record of order.slice(at)) right.add(record)
        left.addAll(order.slice(at))
        for (const record of order.slice(0, at)) right.add(record)
        assert.deepEqual(plainState(left.state), expected, 'healed, left')
        assert.deepEqual(plainState(right.state), expected, 'healed, right')
        assert.deepEqual(left.ids().map(hex), right.ids().map(hex))
      },
    ),
    { numRuns: 400 },
  )
  // The histories must hold what the test is about.
  assert.ok(
    forks > 0 && heads > 100 && admissions > 0 && encodings > 0 && lent > 0 && byGrant > 0,
    `${forks} forks, ${heads} heads, ${admissions} admissions, ${encodings} encodings, ${lent} pins and ${byGrant} trees by grants`,
  )
})

test('what proves a tree says of it what all records say', () => {
  let heads = 0
  let left = 0
  fc.assert(
    fc.property(steps, (script) => {
      const { mesh, records } = history(script)
      const all = createMeshStateBuilder(mesh)
      all.addAll(records)
      const ledger = { record: all.get, evidence: all.evidence }
      for (const tree of all.state.trees.values()) {
        const proof = proofOf(ledger, tree)
        const proved = foldRecords(proof, mesh).trees.get(tree.name)
        const said = (one: typeof tree | undefined) => plain({ ...one, encodings: [], removedTags: [] })
        assert.deepEqual(said(proved), said(tree))
        heads += tree.history.length
        left += all.ids().length - proof.length
      }
    }),
    { numRuns: 150 },
  )
  assert.ok(heads > 100 && left > 100, `${heads} heads, ${left} records left out`)
})
