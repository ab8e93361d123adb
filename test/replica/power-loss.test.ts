/**
 * The power fails at every single operation of a publisher's life: blocks, the mark of completeness, heads, all on one
 * simulated disk that drops or tears what was not synced. What a node says after its restart must be true.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { Block } from '../../src/block/block.ts'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { type Cid, cidKey } from '../../src/block/cid.ts'
import { decodeSnapshot, encodeSnapshot } from '../../src/dag/snapshot.ts'
import { checkClosure } from '../../src/replica/holdings/closure-check.ts'
import { loadCompleteSnapshots } from '../../src/replica/holdings/complete-snapshots.ts'
import { createHoldings } from '../../src/replica/holdings/holdings.ts'
import { createLedger } from '../../src/replica/records/ledger.ts'
import { createIndexValues } from '../../src/store/index/index-values.ts'
import { buildTree, directoryPlan, filePlan } from '../dag/trees.ts'
import { PowerLoss } from '../store/simulated-disk.ts'
import { losePower, type Machine, newMachine, openBlocks, openRecords } from '../store/simulated-machine.ts'
import { createTestLogger, createTestMesh, START_MS, testKey } from './test-mesh.ts'

const TREE = 't'
const VERSIONS = 4
const hq = testKey(10)
const mesh = createTestMesh()
const BASICS = [mesh.genesis, mesh.member(hq, 'hq', 'eu'), ...mesh.tree(TREE, hq)].map(({ bytes }) => bytes)
const PUBLICATIONS = Array.from({ length: VERSIONS }, (_, version) => publication(version))

interface Publication {
  readonly snapshot: Cid
  readonly blocks: readonly Block[]
}

/** A tree that shares most of its files with the one before. */
function publication(version: number): Publication {
  const files = Object.fromEntries(
    Array.from({ length: 8 }, (_, i) => [
      `f${i}`,
      filePlan(`file ${i} of ${i < version ? version : 0} ${'x'.repeat(40)}`),
    ]),
  )
  const blocks: Block[] = []
  const { root, index } = buildTree(directoryPlan(files), (block) => blocks.push(block))
  const counts = {
    files: 8,
    directories: 1,
    symlinks: 0,
    bytes: 8,
    blocks: index.blocks,
    blockBytes: index.sizeBytes,
  }
  const snapshot = encodeSnapshot({
    tree: TREE,
    root,
    index: index.root,
    createdMs: START_MS + version,
    chunker: DEFAULT_CHUNKER,
    counts,
    uncaptured: { count: 0, first: [] },
    notes: {},
  })
  return { snapshot: snapshot.cid, blocks: [...blocks, snapshot] }
}

async function open(machine: Machine) {
  const { blocks, damage } = await openBlocks(machine)
  const values = (namespace: string) => createIndexValues(machine.index, namespace)
  const holdings = createHoldings({ blocks, values, clock: new VirtualClock(START_MS) })
  const complete = await loadCompleteSnapshots({ values, holdings })
  const log = await openRecords(machine.disk)
  const ledger = await createLedger(
    { log, clock: new VirtualClock(START_MS), logger: createTestLogger() },
    { mesh: mesh.mesh },
  )
  return { blocks, damage, complete, ledger }
}

/** What its user was told. */
interface Told {
  sequence: number
  readonly complete: Cid[]
}

/** In the order of the publisher (src/replica/publish/publish.ts): blocks, completeness, head. */
async function live(
  { blocks, complete, ledger }: Awaited<ReturnType<typeof open>>,
  told: Told,
): Promise<void> {
  if (ledger.state().trees.get(TREE)?.epoch === undefined) await ledger.offer(BASICS, 'founder')
  for (let newest = ledger.state().trees.get(TREE)?.newest; (newest?.sequence ?? 0) < VERSIONS; ) {
    const next = PUBLICATIONS[newest?.sequence ?? 0]!
    for (let at = 0; at < next.blocks.length; at += 5) await blocks.put(next.blocks.slice(at, at + 5))
    await blocks.flush()
    await complete.adopt(TREE, next.snapshot)
    told.complete.push(next.snapshot)
    const previous = newest
    const sequence = (previous?.sequence ?? 0) + 1
    await ledger.issue(hq, 'head', () => ({
      tree: TREE,
      epoch: 1,
      sequence,
      previous: previous?.id ?? null,
      snapshot: next.snapshot,
      counts: {},
    }))
    told.sequence = sequence
    newest = ledger.state().trees.get(TREE)?.newest
  }
}

async function checkTruth(node: Awaited<ReturnType<typeof open>>, told: Told, where: string): Promise<void> {
  const { blocks, complete, ledger } = node
  const never = new AbortController().signal
  const newest = ledger.state().trees.get(TREE)?.newest
  assert.ok((newest?.sequence ?? 0) >= told.sequence, `${where}: the sequence went back`)
  for (const snapshot of told.complete)
    assert.ok(complete.has(TREE, snapshot), `${where}: no longer complete`)
  if (newest !== undefined) {
    assert.ok(complete.has(TREE, newest.snapshot), `${where}: a head was signed before its snapshot was safe`)
  }
  for (const { snapshot } of complete.list()) {
    const bytes = await blocks.get(snapshot)
    assert.ok(bytes !== undefined, `${where}: a complete snapshot has no block`)
    await checkClosure(blocks, decodeSnapshot(snapshot, bytes), never)
    for (const { cid } of PUBLICATIONS.find((each) => cidKey(each.snapshot) === cidKey(snapshot))!.blocks) {
      assert.ok((await blocks.get(cid)) !== undefined, `${where}: a block of a complete snapshot is missing`)
    }
  }
}

test('a power loss at any operation of publishing leaves every complete snapshot whole and no sequence lower', async () => {
  const whole = await newMachine()
  await live(await open(whole), { sequence: 0, complete: [] })
  const { operations } = whole.disk
  assert.ok(operations > 30, `only ${operations} operations`)
  let lossesInBetween = 0
  for (let at = 1; at <= operations; at++) {
    for (let seed = 0; seed < 4; seed++) {
      const machine = await newMachine()
      machine.disk.beforeOperation = (operation) => {
        if (operation >= at) throw new PowerLoss('the power is gone')
      }
      const told: Told = { sequence: 0, complete: [] }
      await assert.rejects(async () => live(await open(machine), told), /power is gone/)
      const where = `power lost at operation ${at}, seed ${seed}`
      const after = await losePower(machine, at * 100 + seed)
      const node = await open(after)
      await checkTruth(node, told, where)
      if (told.sequence > 0 && told.sequence < VERSIONS) lossesInBetween += 1
      // It goes on, and a second loss finds all of it.
      await live(node, told)
      await checkTruth(await open(await losePower(after, at)), told, `${where}, then again`)
    }
  }
  assert.ok(lossesInBetween > 40, String(lossesInBetween))
})
