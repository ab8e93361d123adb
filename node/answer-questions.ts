/**
 * What other members may ask of this node (src/replica/questions.ts): its status, and what it is fetching, of trees that the
 * asker may read; and that it shows that it holds a snapshot of one, by blocks out of its own store.
 */
import { utf8 } from '../src/base/bytes.ts'
import type { Clock } from '../src/base/clock.ts'
import { MirrorError } from '../src/base/errors.ts'
import { Semaphore } from '../src/base/semaphore.ts'
import type { NodeSource } from '../src/dag/source.ts'
import type { Answerer } from '../src/net/ports.ts'
import { rateLimit } from '../src/net/rate-limit.ts'
import { showPossession } from '../src/replica/copies/possession.ts'
import type { CompleteSnapshots } from '../src/replica/holdings/complete-snapshots.ts'
import { decodeQuestion, encodePossession, type PossessionQuestion } from '../src/replica/questions.ts'
import type { FetchView } from '../src/replica/site-agent/tree.ts'
import { fetchDocument, summaryOf } from './api/routes/fetch-routes.ts'

/** Fetches in one answer, and segments of one: what a console can show. */
const MAX_FETCHES = 256
const MAX_SEGMENTS = 500
/** Of copies to show, a few blocks each: of one member so many, one more each interval, and so many at once. */
const SHOW_BURST = 64
const SHOW_INTERVAL_MS = 1_000
const MAX_SHOWN_AT_ONCE = 2

export function createAnswerer({
  announced,
  readFetches,
  mayRead,
  self,
  complete,
  blocksOf,
  clock,
}: {
  readonly announced: () => Uint8Array | undefined
  readonly readFetches: () => ReadonlyMap<string, FetchView>
  readonly mayRead: (peer: string, tree: string) => boolean
  /** This node's PeerId. */
  readonly self: string
  readonly complete: Pick<CompleteSnapshots, 'has' | 'viewOf'>
  /** The store as a tree has it. */
  readonly blocksOf: (tree: string) => NodeSource
  readonly clock: Clock
}): Answerer {
  const mayAsk = rateLimit(clock, SHOW_BURST, SHOW_INTERVAL_MS)
  const slots = new Semaphore(MAX_SHOWN_AT_ONCE)

  /** Of what the asker may not read it learns as much as of what is not here. */
  async function show(peer: string, question: PossessionQuestion): Promise<Uint8Array | undefined> {
    if (!mayAsk(peer)) throw new MirrorError('refused', 'too many copies to show: ask again later')
    const { tree, root } = question
    const isHeld = (): boolean =>
      mayRead(peer, tree) && (complete.has(tree, root) || complete.viewOf(tree, root) !== undefined)
    if (!isHeld()) return undefined
    const shown = await slots.run(() => showPossession(blocksOf(tree), { holder: self, ...question }))
    return isHeld() ? shown : undefined
  }

  return {
    async answer(peer, bytes) {
      const question = decodeQuestion(bytes)
      if (question.ask === 'status') {
        const status = announced()
        if (status === undefined) throw new MirrorError('not-found', 'this node has said nothing yet')
        return status
      }
      if (question.ask === 'fetches') {
        const fetches = [...readFetches()].filter(([tree]) => mayRead(peer, tree))
        return json({ fetches: fetches.slice(0, MAX_FETCHES).map(([tree, view]) => summaryOf(tree, view)) })
      }
      if (question.ask === 'possession') return encodePossession(await show(peer, question))
      const { tree } = question
      const view = mayRead(peer, tree) ? readFetches().get(tree) : undefined
      if (view === undefined) throw new MirrorError('not-found', `${tree} is not being fetched there`)
      return json(fetchDocument(tree, view, MAX_SEGMENTS))
    },
  }
}

function json(document: object): Uint8Array {
  return utf8(JSON.stringify(document))
}
