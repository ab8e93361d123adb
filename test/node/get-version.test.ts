/** Which snapshot `get` means, for a machine outside of the mesh, when admins have taken some down. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseMeant } from '../../node/get/choose-version.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { createMeshStateBuilder } from '../../src/record/mesh-state-builder.ts'
import { createTestMesh, testKey } from '../replica/test-mesh.ts'

const hq = testKey(60)

test('what was taken down is meant by nothing, and the newest that stands by no name', () => {
  const mesh = createTestMesh()
  const builder = createMeshStateBuilder(mesh.mesh)
  builder.addAll([mesh.genesis, ...mesh.tree('t', hq)])
  const snapshots = [1, 2, 3].map((each) => cidOf(DAG_CBOR, Buffer.from(`snapshot ${each}`)))
  const tree = () => builder.state.trees.get('t')!
  for (const [at, snapshot] of snapshots.entries()) {
    const said = { tree: 't', epoch: 1, sequence: at + 1, snapshot, counts: {} }
    builder.add(mesh.sign(hq, 'head', { ...said, previous: tree().newest?.id ?? null }))
  }
  const meant = (ref?: string) => chooseMeant(builder.state, tree(), ref)
  const takeDown = (version: number, taken: typeof snapshots, removed = false): void => {
    builder.add(
      mesh.sign(mesh.admin, 'takedown', {
        ...{ name: 'x', tree: 't', path: null, through: 3, reason: 'leaked', version, removed },
        snapshots: taken.toSorted((a, b) => Buffer.compare(a.bytes, b.bytes)),
      }),
    )
  }
  assert.equal(meant().sequence, 3)
  takeDown(1, [snapshots[2]!])
  assert.deepEqual([meant().sequence, meant('head').sequence, meant('2').sequence], [2, 2, 2])
  assert.equal(meant().newest.sequence, 3, 'how fresh the gateways are is told by the head itself')
  assert.throws(() => meant('3'), { code: 'refused', message: /t@3 was taken down/ })
  takeDown(2, snapshots)
  assert.throws(() => meant(), { code: 'refused' })
  takeDown(3, snapshots, true)
  assert.equal(meant('3').sequence, 3)
})
