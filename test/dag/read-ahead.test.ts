import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Block } from '../../src/block/block.ts'
import type { Cid } from '../../src/block/cid.ts'
import { cidKey } from '../../src/block/cid.ts'
import { closure } from '../../src/dag/closure.ts'
import type { Entry } from '../../src/dag/entry.ts'
import type { NodeSource } from '../../src/dag/source.ts'
import { walk } from '../../src/dag/walk.ts'
import type { Plan } from './trees.ts'
import { buildTree, collect, directoryPlan, filePlan } from './trees.ts'

/** Directories within directories, some of them empty, one named twice. */
function plan(): Plan {
  const leaf = (name: string): Plan =>
    directoryPlan({ 'a.txt': filePlan(`${name} a`), 'b.txt': filePlan(name) })
  const group = (name: string, count: number): Plan =>
    directoryPlan(
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`d${i}`, leaf(`${name} ${i}`)])),
    )
  return directoryPlan({
    empty: directoryPlan({}),
    few: group('few', 3),
    many: group('many', 50),
    same: group('few', 3),
    top: filePlan('top'),
  })
}

function stored(): Required<NodeSource> & { readonly root: Entry } {
  const emitted: Block[] = []
  const { root } = buildTree(plan(), (block) => emitted.push(block))
  const all = new Map(emitted.map(({ cid, bytes }) => [cidKey(cid), bytes]))
  const get = async (cid: Cid): Promise<Uint8Array | undefined> => all.get(cidKey(cid))
  return { root, get, getMany: (cids) => Promise.all(cids.map(get)) }
}

test('a walk and a closure are the same with and without a source of many, which is asked far less often', async () => {
  const { root, ...blocks } = stored()
  let calls = 0
  const single: NodeSource = {
    get(cid) {
      calls++
      return blocks.get(cid)
    },
  }
  const asked = new Map<string, number>()
  const many: NodeSource = {
    get: single.get,
    getMany(cids: readonly Cid[]) {
      calls++
      for (const cid of cids) asked.set(cidKey(cid), (asked.get(cidKey(cid)) ?? 0) + 1)
      return blocks.getMany(cids)
    },
  }
  for (const steps of [walk, closure]) {
    calls = 0
    const expected = await collect<unknown>(steps(single, root))
    const before = calls
    calls = 0
    assert.deepEqual(await collect<unknown>(steps(many, root)), expected)
    assert.ok(before > 50 && calls < before / 3, `${before} calls, then ${calls}`)
  }
  assert.ok([...asked.values()].every((count) => count <= 4))
})

test('what a batch lacked is asked for once more by itself; what fails there fails the walk', async () => {
  const { root, ...blocks } = stored()
  const lacking: NodeSource = {
    get: (cid) => blocks.get(cid),
    getMany: async (cids) => cids.map(() => undefined),
  }
  assert.equal((await collect(walk(lacking, root))).length, (await collect(walk(blocks, root))).length)
  const failing: NodeSource = {
    get: (cid) => blocks.get(cid),
    getMany: () => Promise.reject(new Error('EIO')),
  }
  await assert.rejects(collect(walk(failing, root)), /EIO/)
})
