/**
 * /api/v1/trees/TREE/entries: what a folder of a snapshot holds, as lines. In whole, or in pages: a page is read from where it
 * begins, by the few nodes that lead there, so one of a folder of millions costs what it shows. Its cursor names the snapshot
 * and the last name, so all pages are of one snapshot, whatever is published meanwhile.
 */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { MirrorError } from '../../../src/base/errors.ts'
import { countEntries, readDirectory, walk } from '../../../src/dag/reader.ts'
import type { EntryListHeader } from '../answers.ts'
import { describeEntry, joinPath } from '../describe.ts'
import { CURSOR, cursorOf, LIMIT, readCursor } from '../page.ts'
import { parseQuery } from '../parse.ts'
import { says } from '../route-spec.ts'
import { ENTRY, ENTRY_HEADER } from '../schema/tree-schema.ts'
import type { Services } from '../services.ts'
import { BROKEN_OFF, findPath, REF_PATH, sendLines, signalOf, type TreeRequest } from './tree-routes.ts'

const LIST_QUERY = REF_PATH.extend({
  recursive: z.enum(['true', 'false']).optional(),
  limit: LIMIT.describe('gives a page of so many entries, and as its last line where the next begins'),
  cursor: CURSOR,
})
const MAX_LIMIT = 10_000
const NEXT = z.strictObject({ cursor: z.string().nullable().describe('of the next page; null at the end') })

export function addEntriesRoute(app: FastifyInstance, services: Services): void {
  const { blocks } = services
  app.get(
    '/api/v1/trees/:tree/entries',
    says({
      summary: 'A listing, one line an entry',
      scope: 'read',
      query: LIST_QUERY,
      answer: z.union([ENTRY_HEADER, ENTRY, NEXT, BROKEN_OFF]),
      answerAs: 'lines',
    }),
    async (request: TreeRequest, reply) => {
      const { limit, cursor, recursive, ref } = parseQuery(LIST_QUERY, request.url)
      const isRecursive = recursive === 'true'
      if (isRecursive && (limit !== undefined || cursor !== undefined))
        throw new MirrorError('invalid', 'limit: a recursive listing has no pages')
      const from = cursor === undefined ? undefined : readPlace(cursor)
      const held = signalOf(reply)
      const { place, entry, path } = await findPath(services, request, held, ref ?? from?.sequence)
      if (from !== undefined && from.snapshot !== place.snapshot) {
        throw new MirrorError(
          'conflict',
          `the cursor is of ${place.tree}@${from.sequence}, not of this snapshot`,
          {
            hint: 'Name the snapshot that the first page was of, or begin anew.',
          },
        )
      }
      const isFolder = entry.type === 'directory'
      const header: EntryListHeader = {
        ...place,
        path: joinPath(path),
        ...(isFolder ? { entries: await countEntries(blocks, entry.directory, held) } : {}),
      }
      // Without either it is one listing, as long as it is: it is streamed.
      const isPage = limit !== undefined || from !== undefined
      const pageSize = isPage ? Math.min(limit ?? MAX_LIMIT, MAX_LIMIT) : Number.POSITIVE_INFINITY
      return sendLines(services, request, reply, header, async function* (signal) {
        if (!isFolder) {
          yield describeEntry([entry.name], entry)
          if (isPage) yield { cursor: null }
        } else if (isRecursive) {
          for await (const step of walk(blocks, entry, signal)) {
            if (step.path.length > 0) yield describeEntry(step.path, step.entry)
          }
        } else {
          let given = 0
          let last: Uint8Array | undefined
          for await (const child of readDirectory(blocks, entry.directory, { signal, after: from?.name })) {
            if (given === pageSize) {
              yield { cursor: placeText(place, last!) }
              return
            }
            yield describeEntry([child.name], child)
            given++
            last = child.name
          }
          if (isPage) yield { cursor: null }
        }
      })
    },
  )
}

interface PagePlace {
  readonly sequence: string
  readonly snapshot: string
  readonly name: Uint8Array
}

function placeText({ sequence, snapshot }: { sequence: number; snapshot: string }, name: Uint8Array): string {
  return cursorOf(`${sequence} ${snapshot} ${Buffer.from(name).toString('hex')}`)
}

function readPlace(cursor: string): PagePlace {
  const match = /^(\d{1,16}) (b[a-z2-7]{20,120}) ((?:[0-9a-f]{2}){1,255})$/.exec(readCursor(cursor))
  if (match === null) throw new MirrorError('invalid', 'cursor: is not one that this API gave')
  const [, sequence = '', snapshot = '', name = ''] = match
  return { sequence, snapshot, name: new Uint8Array(Buffer.from(name, 'hex')) }
}
