/**
 * ETag and If-Match: whoever looked before somebody else changed it is told so, with 412, and nothing is done.
 *
 * Records have versions of their own, and the last writer wins; a client that does not want to win over what it has not seen
 * sends the ETag of the list that it looked at along with its record.
 */
import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { MirrorError } from '../../src/base/errors.ts'
import type { MeshState } from '../../src/record/mesh-state.ts'
import { sendProblem } from './problem.ts'

/** Kinds of records that are told by a list with an ETag: /pins, /sites, /topology, /trees. */
export type ListedKind = 'pin' | 'site' | 'topology' | 'tree'

/** Of what a document says. */
export function etagOf(document: unknown): string {
  return `"${createHash('sha256').update(JSON.stringify(document)).digest('base64url').slice(0, 22)}"`
}

/** Changes with each record of the kind that counts. */
export function listTag(state: MeshState, kind: ListedKind): string {
  if (kind === 'topology') return etagOf(state.topology?.body.version ?? 0)
  const versions =
    kind === 'pin'
      ? [...state.pins, ...state.removedPins].map(([name, { body }]) => [name, body.version, body.removed])
      : kind === 'site'
        ? [...state.sites].map(([name, { body }]) => [name, body.version])
        : [...state.trees].map(([name, { body, tags, epoch }]) => [
            name,
            body.version,
            epoch?.epoch ?? 0,
            [...tags.values()].map((tag) => [tag.body.tag, tag.body.version]).toSorted(compare),
          ])
  return etagOf(versions.toSorted(compare))
}

/** The kind whose list tells of records of this one. */
export function listedAs(kind: string): ListedKind | undefined {
  if (kind === 'pin' || kind === 'site' || kind === 'topology' || kind === 'tree') return kind
  return kind === 'tag' || kind === 'epoch' ? 'tree' : undefined
}

/** True when there is no If-Match, or it names `now`. */
export function isMet({ headers }: FastifyRequest, now: string | undefined): boolean {
  const wanted = headers['if-match']
  if (wanted === undefined) return true
  return now !== undefined && wanted.split(',').some((each) => each.trim() === now || each.trim() === '*')
}

export function refuseStale(reply: FastifyReply): FastifyReply {
  const error = new MirrorError('conflict', 'it is not as If-Match says any more: somebody else changed it', {
    hint: 'Nothing was done. Read it again.',
  })
  return sendProblem(reply, error, 412)
}

function compare(a: readonly unknown[], b: readonly unknown[]): number {
  return String(a[0]) < String(b[0]) ? -1 : 1
}
