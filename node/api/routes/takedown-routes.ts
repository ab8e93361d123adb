/** /api/v1/trees/TREE/takedown: which snapshots an admin would have taken off every site. Changes nothing: the record is the client's. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { utf8 } from '../../../src/base/bytes.ts'
import { MirrorError } from '../../../src/base/errors.ts'
import { isFilterPath } from '../../../src/base/path-filter.ts'
import { cidKey } from '../../../src/block/cid.ts'
import { lookUp } from '../../../src/dag/reader.ts'
import { MAX_TAKEN_DOWN, takedownName } from '../../../src/record/kinds/takedown.ts'
import { type Head, takenDown } from '../../../src/record/mesh-state.ts'
import { checkInside } from '../access.ts'
import { findHead, findSnapshot, findTree } from '../find-snapshot.ts'
import { parseQuery } from '../parse.ts'
import { says } from '../route-spec.ts'
import type { Services } from '../services.ts'
import { signalOf } from './tree-routes.ts'

const QUERY = z.strictObject({
  ref: z.string().exactOptional().describe('a sequence or a tag: that snapshot'),
  path: z.string().exactOptional().describe('a path: the snapshots that have it'),
})

export const TAKEDOWN_PLAN = z.strictObject({
  name: z.string(),
  tree: z.string(),
  path: z.string().nullable(),
  snapshots: z.array(z.string()),
  sequences: z.array(z.int()),
  /** Of the newest head. */
  through: z.int(),
  /** Where sites stand afterwards; null when nothing is left of the tree. */
  standing: z.int().nullable(),
  /** Of the next record of that name. */
  version: z.int(),
})

export type TakedownPlan = Readonly<z.infer<typeof TAKEDOWN_PLAN>>

export function addTakedownRoutes(app: FastifyInstance, services: Services): void {
  app.get<{ Params: { tree: string } }>(
    '/api/v1/trees/:tree/takedown',
    says({
      summary: 'Which snapshots a takedown would be of',
      scope: 'read',
      query: QUERY,
      answer: TAKEDOWN_PLAN,
    }),
    async ({ access, params: { tree }, url }, reply): Promise<TakedownPlan> => {
      const { ref, path } = parseQuery(QUERY, url)
      if (path !== undefined) checkInside(access, services.ledger.state(), tree)
      if ((ref === undefined) === (path === undefined))
        throw new MirrorError('invalid', 'name one of a snapshot and a path')
      const heads =
        path === undefined
          ? [findHead(services, tree, ref)]
          : await headsWith(services, tree, path, signalOf(reply))
      return describe(services, tree, path, heads)
    },
  )
}

/** Heads whose snapshots are here and have the path. From the newest back to one without it all have to be here. */
async function headsWith(services: Services, name: string, path: string, held: AbortSignal): Promise<Head[]> {
  if (!isFilterPath(path))
    throw new MirrorError(
      'invalid',
      `${JSON.stringify(path)} is no path below the root of a tree, such as a/b`,
    )
  const found: Head[] = []
  let isClean = false
  // What is gone by it cannot be looked into any more: it is what it was when it was taken down.
  const known = services.ledger.state().takedowns.get(takedownName(name, { path }))?.body
  const before = new Set(known?.removed === false ? known.snapshots.map(cidKey) : [])
  for (const head of findTree(services, name).history.toReversed()) {
    if (before.has(cidKey(head.snapshot))) {
      found.push(head)
      continue
    }
    if (!services.complete.has(name, head.snapshot)) {
      if (isClean || takenDown(services.ledger.state(), name).has(cidKey(head.snapshot))) continue
      throw new MirrorError(
        'degraded',
        `${name}@${head.sequence} is not complete at this site, which cannot tell whether it has ${path}`,
        {
          hint: 'Run it at a site that holds it in full: see mirrormesh status.',
        },
      )
    }
    const { whole } = await findSnapshot(services, name, String(head.sequence), held)
    const names = path.split('/').map(utf8)
    if ((await lookUp(services.blocks, whole.root, names, held)) === undefined) isClean = true
    else found.push(head)
  }
  if (found.length === 0)
    throw new MirrorError('not-found', `no snapshot of ${name} that is complete at this site has ${path}`)
  return found
}

function describe(
  { ledger }: Services,
  tree: string,
  path: string | undefined,
  heads: readonly Head[],
): TakedownPlan {
  const state = ledger.state()
  const history = state.trees.get(tree)?.history ?? []
  // One snapshot may be of several heads.
  const snapshots = [...new Map(heads.map(({ snapshot }) => [cidKey(snapshot), snapshot])).values()]
  if (snapshots.length > MAX_TAKEN_DOWN)
    throw new MirrorError(
      'limit',
      `${snapshots.length} snapshots have it; a takedown names ${MAX_TAKEN_DOWN} at most`,
    )
  const gone = new Set([...takenDown(state, tree), ...snapshots.map(cidKey)])
  const name = takedownName(tree, path === undefined ? { sequence: heads[0]!.sequence } : { path })
  const sequences = history.filter(({ snapshot }) => snapshots.some((each) => each.equals(snapshot)))
  return {
    name,
    tree,
    path: path ?? null,
    snapshots: snapshots.map(String),
    sequences: sequences.map(({ sequence }) => sequence),
    through: history.at(-1)?.sequence ?? 0,
    standing: history.findLast(({ snapshot }) => !gone.has(cidKey(snapshot)))?.sequence ?? null,
    version: (state.takedowns.get(name)?.body.version ?? 0) + 1,
  }
}
