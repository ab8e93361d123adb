/**
 * What other members may ask of this node (src/replica/questions.ts): its status, and what it is fetching, of trees that the
 * asker may read.
 */
import { utf8 } from '../src/base/bytes.ts'
import { MirrorError } from '../src/base/errors.ts'
import type { Answerer } from '../src/net/ports.ts'
import { decodeQuestion } from '../src/replica/questions.ts'
import type { FetchView } from '../src/replica/site-agent/tree.ts'
import { fetchDocument, summaryOf } from './api/fetch-routes.ts'

/** Fetches in one answer, and segments of one: what a console can show. */
const MAX_FETCHES = 256
const MAX_SEGMENTS = 500

export function createAnswerer({
  announced,
  readFetches,
  mayRead,
}: {
  readonly announced: () => Uint8Array | undefined
  readonly readFetches: () => ReadonlyMap<string, FetchView>
  readonly mayRead: (peer: string, tree: string) => boolean
}): Answerer {
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
