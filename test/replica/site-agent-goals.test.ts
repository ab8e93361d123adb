import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMeshStateBuilder } from '../../src/record/mesh-state-builder.ts'
import { filterOf, goalsOf, isPinned, isWanted } from '../../src/replica/goals.ts'
import { createTestMesh, testKey } from './test-mesh.ts'

const hq = testKey(20)
const lab = testKey(21)
const self = { peer: lab.peer, site: 'lab', region: 'us' }

function meshWith(site: { labels: readonly string[]; drained: boolean } | undefined) {
  const mesh = createTestMesh()
  const builder = createMeshStateBuilder(mesh.mesh)
  builder.addAll([
    mesh.genesis,
    mesh.member(hq, 'hq', 'eu'),
    mesh.member(lab, 'lab', 'us'),
    ...mesh.tree('t', hq),
    ...mesh.tree('own', lab),
    mesh.sign(mesh.admin, 'pin', {
      name: 'p',
      tree: '**',
      sites: { label: 'office' },
      version: 1,
      removed: false,
    }),
    ...(site === undefined
      ? []
      : [mesh.sign(mesh.admin, 'site', { site: 'lab', note: '', version: 1, ...site })]),
  ])
  return builder.state
}

test('a pin by label is for the sites that have the label', () => {
  assert.equal(goalsOf(meshWith(undefined), self, 0).has('t'), false)
  assert.equal(goalsOf(meshWith({ labels: ['shop'], drained: false }), self, 0).has('t'), false)
  const state = meshWith({ labels: ['attic', 'office'], drained: false })
  assert.equal(goalsOf(state, self, 0).get('t')?.isHeldBack, undefined)
  assert.equal(isWanted(state, 't', self, 0), true)
  assert.equal(isPinned(state, 't', { site: 'hq', region: 'eu' }), false)
})

test('of several pins the highest priority counts, and one is enough to make a tree urgent', () => {
  const mesh = createTestMesh()
  const builder = createMeshStateBuilder(mesh.mesh)
  const pin = (name: string, said: { priority?: number; class?: 'urgent' }) =>
    mesh.sign(mesh.admin, 'pin', {
      ...{ name, tree: 't', sites: { site: 'lab' }, version: 1, removed: false, ...said },
    })
  builder.addAll([mesh.genesis, mesh.member(lab, 'lab', 'us'), ...mesh.tree('t', hq)])
  builder.add(pin('a', {}))
  const said = () => {
    const { priority, isUrgent } = goalsOf(builder.state, self, 0).get('t')!
    return [priority, isUrgent]
  }
  assert.deepEqual(said(), [5, false])
  builder.add(pin('b', { priority: 7 }))
  builder.add(pin('c', { priority: 2, class: 'urgent' }))
  assert.deepEqual(said(), [7, true])
})

test('a site keeps what any of its pins takes, and all of what it publishes itself', () => {
  const mesh = createTestMesh()
  const builder = createMeshStateBuilder(mesh.mesh)
  const pin = (name: string, include?: string[]) =>
    mesh.sign(mesh.admin, 'pin', {
      ...{ name, tree: '**', sites: { site: 'lab' }, version: 1, removed: false },
      ...(include === undefined ? {} : { paths: { include, exclude: [] } }),
    })
  builder.addAll([mesh.genesis, mesh.member(lab, 'lab', 'us'), ...mesh.tree('t', hq)])
  builder.add(pin('b', ['x86_64']))
  builder.add(pin('a', ['noarch']))
  const filter = () => goalsOf(builder.state, self, 0).get('t')?.filter
  assert.deepEqual(filter(), [
    { include: ['noarch'], exclude: [] },
    { include: ['x86_64'], exclude: [] },
  ])
  assert.deepEqual(filterOf(builder.state, 't', self), filter())
  builder.add(pin('c'))
  assert.equal(filter(), undefined)
})

test('a drained site keeps its goals and is held back from them; others do not wait for it', () => {
  const state = meshWith({ labels: ['office'], drained: true })
  assert.equal(goalsOf(state, self, 0).get('t')?.isHeldBack, true)
  assert.equal(isPinned(state, 't', self), true)
  assert.equal(isWanted(state, 't', self, 0), false)
})
