/** Two versions of a tree at their publisher, the deltas between them, and sites that fetch by them. */
import assert from 'node:assert/strict'
import type { Cid } from '../../src/block/cid.ts'
import { closure } from '../../src/dag/reader.ts'
import type { Snapshot } from '../../src/dag/snapshot.ts'
import { countBlocks, type MadeDelta } from '../../src/delta/delta.ts'
import { keyPairFromSeed } from '../../src/record/key.ts'
import { openSetWriter, type SetWriter } from '../../src/replica/deltas/set-writer.ts'
import type { DeltaOffers, OfferedSet, SetElsewhere } from '../../src/replica/fetch/delta-feed.ts'
import type { Fetch, FetchOptions, FetchResult } from '../../src/replica/fetch/fetch-session.ts'
import type { TestMesh, TestNode } from './mesh.ts'
import { createMesh, publish, TREE } from './mesh.ts'
import { makeSimpleDeltas, noisePlan } from './simple-deltas.ts'

export const FILES = 60
export const FILE_BYTES = 20_000

export interface Offers extends DeltaOffers {
  say(offer: OfferedSet): void
}

export function createOffers(first?: OfferedSet): Offers {
  const listeners = new Set<() => void>()
  let offer = first
  return {
    current: () => offer,
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    say(next) {
      offer = next
      for (const listener of listeners) listener()
    },
  }
}

/** Of a site without the base, which others are known to hold. */
export function createOffersElsewhere(first: OfferedSet, ...holders: readonly TestNode[]): Offers {
  const offers = createOffers(first)
  const names = new Set(holders.map(({ name }) => name))
  return {
    ...offers,
    current: () => undefined,
    elsewhere: (): SetElsewhere[] => [{ ...offers.current()!, holders: names }],
  }
}

export interface Scene {
  readonly mesh: TestMesh
  readonly hq: TestNode
  readonly one: Cid
  readonly two: Cid
  readonly snapshot: Snapshot
  readonly deltas: readonly MadeDelta[]
  readonly writer: SetWriter
}

/** Version one and two at hq, and the deltas from one to two, which no set lists yet. */
export async function scene(): Promise<Scene> {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const one = (await publish(hq, noisePlan(FILES, FILE_BYTES, 1))).cid
  const { cid: two, snapshot } = await publish(hq, noisePlan(FILES, FILE_BYTES, 2))
  const deltas: MadeDelta[] = []
  const source = hq.store.blocks
  for await (const delta of makeSimpleDeltas({ source }, { target: two, base: one })) deltas.push(delta)
  assert.ok(deltas.length >= 12)
  const writer = await openSetWriter(
    { blocks: hq.store.blocks, holdings: hq.holdings },
    { tree: TREE, snapshot: two, base: one },
  )
  return { mesh, hq, one, two, snapshot, deltas, writer }
}

export async function write({ writer, deltas }: Scene, from = 0, to = deltas.length): Promise<Cid> {
  for (const delta of deltas.slice(from, to)) await writer.add(delta)
  return (await writer.step()).set!
}

export const sizeOf = (deltas: readonly MadeDelta[]): number =>
  deltas.reduce((sum, { bytes }) => sum + bytes.length, 0)

/** A site that holds version one. */
export async function siteWith({ mesh, one }: Scene, name: string, region: string): Promise<TestNode> {
  const site = mesh.add(name, region)
  await mesh.fetch(site, one).done
  return site
}

export async function fetchTwo(
  it: Scene,
  site: TestNode,
  deltas: DeltaOffers,
  more: Partial<FetchOptions> = {},
): Promise<FetchResult> {
  return finish(it, site, it.mesh.fetch(site, it.two, { deltas, ...more }))
}

/** Complete, with every block there, and every block counted once. */
export async function finish({ two, snapshot }: Scene, site: TestNode, fetch: Fetch): Promise<FetchResult> {
  const result = await fetch.done
  assert.ok(await site.holdings.isComplete(TREE, two))
  for await (const { cid } of closure(site.store.blocks, snapshot.root))
    assert.notEqual(await site.store.blocks.get(cid), undefined)
  assert.equal(result.heldBlocks, snapshot.counts.blocks)
  assert.equal(result.heldBytes, snapshot.counts.blockBytes)
  return result
}

export const targetsOf = (deltas: readonly MadeDelta[]): number =>
  deltas.reduce((sum, { targets }) => sum + countBlocks(targets), 0)

/** As the records of the publisher have it. */
export function said({ one, two }: Scene, set: Cid): TestNode['encodings'] {
  const body = { tree: TREE, snapshot: two, base: one, sequence: 2, set, version: 2, isComplete: true }
  const origin = { record: two, issuer: keyPairFromSeed(new Uint8Array(32)).peer, timeMs: 0 }
  return new Map([
    [two.toString(), [{ body: { ...body, bytes: 0, targetBytes: 0 }, baseSequence: 1, origin }]],
  ])
}

export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
}

/** Never ends waiting by itself. */
export const PATIENT = { waitMs: 600_000, lateMs: 600_000 }
