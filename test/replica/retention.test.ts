/** Which snapshots stay, by rule. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import type { Cid } from '../../src/block/cid.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import type { MeshState, TreeState } from '../../src/record/mesh-state.ts'
import type { Goal } from '../../src/replica/goals.ts'
import { planRetention, type RetentionInput } from '../../src/replica/retain/retention.ts'

const DAY_MS = 24 * 3_600_000
const NOW_MS = 1_700_000_000_000
const OPTIONS = { keepSnapshots: 2, graceMs: 7 * DAY_MS }

function snapshotOf(tree: string, sequence: number): Cid {
  return cidOf(DAG_CBOR, utf8(`${tree} ${sequence}`))
}

function treeState(name: string, heads: number, more: object = {}): TreeState {
  const history = Array.from({ length: heads }, (_, i) => ({
    tree: name,
    sequence: i + 1,
    snapshot: snapshotOf(name, i + 1),
  }))
  return {
    name,
    history,
    newest: history.at(-1),
    tags: new Map(),
    fork: undefined,
    ...more,
  } as unknown as TreeState
}

function input(
  trees: readonly TreeState[],
  held: readonly (readonly [string, number])[],
  more: Partial<RetentionInput> = {},
): RetentionInput {
  const goals = new Map<string, Goal>()
  const rest = { refusedCheckouts: [], priority: 5, isUrgent: false }
  for (const { name, newest } of trees) {
    const head = newest === undefined ? {} : { sequence: newest.sequence, snapshot: newest.snapshot }
    goals.set(name, { tree: name, ...head, checkouts: [], versions: new Map(), ...rest })
  }
  return {
    state: { trees: new Map(trees.map((tree) => [tree.name, tree])) } as Pick<MeshState, 'trees'>,
    goals,
    complete: held.map(([tree, sequence]) => ({ tree, snapshot: snapshotOf(tree, sequence) })),
    leases: [],
    checkouts: [],
    unneededSinceMs: new Map(),
    nowMs: NOW_MS,
    ...more,
  }
}

function plan(given: RetentionInput, options = OPTIONS) {
  const { kept, dropped } = planRetention(given, options)
  return {
    kept: kept.map(({ sequence, reasons, isComplete }) => [sequence, isComplete, reasons.join('; ')]),
    dropped: dropped.map(({ sequence }) => sequence),
  }
}

test('the newest that are complete stay, older ones go', () => {
  assert.deepEqual(
    plan(
      input(
        [treeState('t', 5)],
        [
          ['t', 1],
          ['t', 3],
          ['t', 4],
          ['t', 5],
        ],
      ),
    ),
    {
      kept: [
        [5, true, 'the newest head; the newest that is complete here'],
        [4, true, 'one of the newest 2 that are complete here'],
      ],
      dropped: [3, 1],
    },
  )
})

test('pins say what stays instead: the last few, those of some days, or either', () => {
  const old = (sequence: number) => NOW_MS - (10 - sequence) * DAY_MS
  const tree = treeState('t', 9)
  const history = tree.history.map((head) => ({ ...head, timeMs: old(head.sequence) }))
  const held = [1, 2, 3, 5, 6, 7, 8, 9].map((sequence) => ['t', sequence] as const)
  const keptWith = (keep: NonNullable<Goal['keep']>): unknown[] => {
    const given = input([{ ...tree, history }], held)
    const goals = new Map([['t', { ...given.goals.get('t')!, keep }]])
    return plan({ ...given, goals }).kept.map(([sequence]) => sequence)
  }
  assert.deepEqual(keptWith({ last: 4 }), [9, 8, 7, 6])
  assert.deepEqual(keptWith({ days: 6 }), [9, 8, 7, 6, 5])
  assert.deepEqual(keptWith({ last: 6, days: 2 }), [9, 8, 7, 6, 5, 3])
  assert.deepEqual(keptWith({ last: 1 }), [9])
  // None is as young as that: the newest stays all the same.
  assert.deepEqual(keptWith({ days: 1 }), [9])
})

test('while the head is fetched what is here of it stays, and the newest complete ones too', () => {
  assert.deepEqual(
    plan(
      input(
        [treeState('t', 5)],
        [
          ['t', 1],
          ['t', 2],
          ['t', 3],
        ],
      ),
    ),
    {
      kept: [
        [5, false, 'is being fetched'],
        [3, true, 'the newest that is complete here'],
        [2, true, 'one of the newest 2 that are complete here'],
      ],
      dropped: [1],
    },
  )
})

test('tags, check-outs, leases and disputes keep old snapshots', () => {
  const tags = new Map([['release', { body: { tag: 'release', snapshot: snapshotOf('t', 1) } }]])
  const given = input(
    [treeState('t', 6, { tags })],
    [1, 2, 3, 4, 5, 6].map((each) => ['t', each] as const),
    {
      checkouts: [{ tree: 't', snapshot: snapshotOf('t', 2).toString(), path: '/srv/t' }],
      leases: [{ purpose: 'verify', roots: [snapshotOf('t', 3)] }],
    },
  )
  assert.deepEqual(plan(given), {
    kept: [
      [6, true, 'the newest head; the newest that is complete here'],
      [5, true, 'one of the newest 2 that are complete here'],
      [3, true, 'in use: verify'],
      [2, true, 'checked out at /srv/t'],
      [1, true, 'tagged release'],
    ],
    dropped: [4],
  })
  const forked = treeState('t', 4, { fork: { kind: 'heads' } })
  assert.deepEqual(
    plan(
      input(
        [forked],
        [
          ['t', 1],
          ['t', 2],
          ['t', 3],
          ['t', 4],
        ],
      ),
    ).dropped,
    [],
  )
})

test('a tree that is not asked for any more stays for the days of grace, then all of it goes', () => {
  const tree = treeState('t', 3)
  const held = [
    ['t', 2],
    ['t', 3],
  ] as const
  const at = (sinceMs: number) =>
    plan(input([tree], held, { goals: new Map(), unneededSinceMs: new Map([['t', sinceMs]]) }))
  assert.deepEqual(at(NOW_MS).dropped, [])
  assert.match(String(at(NOW_MS).kept[0]![2]), /^no longer asked for here, goes after 2023-11-21T22:13Z$/)
  assert.deepEqual(at(NOW_MS - 7 * DAY_MS + 1).dropped, [])
  assert.deepEqual(at(NOW_MS - 7 * DAY_MS).dropped, [3, 2])
})

test('what others want stays, whether it is superseded here or the tree is not asked for', () => {
  const asked: unknown[] = []
  const lastCopy: NonNullable<RetentionInput['lastCopy']> = ({ snapshot, isNewest }) => {
    asked.push(isNewest)
    return snapshot.equals(snapshotOf('t', 2)) ? 'keeper' : undefined
  }
  const held = [1, 2, 3].map((each) => ['t', each] as const)
  const given = input([treeState('t', 3)], held, { lastCopy })
  const { keepSnapshots: _, ...rest } = OPTIONS
  assert.deepEqual(plan(given, { ...rest, keepSnapshots: 1 }), {
    kept: [
      [3, true, 'the newest head; the newest that is complete here'],
      [2, true, 'keeper'],
    ],
    dropped: [1],
  })
  assert.deepEqual(asked, [false, false])
  asked.length = 0
  const unneeded = { goals: new Map(), unneededSinceMs: new Map([['t', 0]]) }
  assert.deepEqual(plan({ ...given, ...unneeded }), { kept: [[2, true, 'keeper']], dropped: [3, 1] })
  assert.deepEqual(asked, [false, false, true])
})

test('what is in no history, such as the losing side of a fork, goes unless nothing else is here', () => {
  assert.deepEqual(
    plan(
      input(
        [treeState('t', 2)],
        [
          ['t', 9],
          ['t', 2],
        ],
      ),
    ).dropped,
    [undefined],
  )
  assert.deepEqual(plan(input([treeState('t', 2)], [['t', 9]])).dropped, [])
})

test('what would stay if it were complete is marked as far as it is here', () => {
  const tags = new Map([['release', { body: { tag: 'release', snapshot: snapshotOf('t', 1) } }]])
  const { partial } = planRetention(input([treeState('t', 5, { tags })], [['t', 5]]), OPTIONS)
  assert.deepEqual(partial.map(String), [snapshotOf('t', 4), snapshotOf('t', 1)].map(String))
})
