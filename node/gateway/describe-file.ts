/**
 * Headers that say of a file where else it is (RFC 6249) and what its SHA-256 is (RFC 9530, and RFC 3230 before it). They are
 * the only ones that change while the file and the records stay as they are: sites come and go, and digests become known.
 */
import type { IncomingMessage } from 'node:http'
import type { FileEntry } from '../../src/dag/entry.ts'
import type { Digests } from './digests.ts'
import type { ReadFile } from './file-response.ts'
import { METALINK_TYPE } from './metalink.ts'
import type { Mirror, Mirrors } from './mirrors.ts'
import { encodeName } from './request-target.ts'
import { type ChosenVersion, isWholeHere, type ServedTree } from './version.ts'

export interface DescribedFile {
  readonly tree: ServedTree
  readonly version: ChosenVersion
  /** Below the tree, without what names a version. */
  readonly names: readonly Uint8Array[]
  readonly entry: FileEntry
}

/** For a client at this address: names and values by turns. The same array as before where nothing has changed. */
export type FileHeaders = (client: string | undefined) => readonly string[]

export interface FileDescriber {
  /** What holds until the catalogue changes. */
  headersOf(file: DescribedFile): FileHeaders
  /** Reads the file for its digest, where the client wants that. */
  learnDigest(
    request: IncomingMessage,
    entry: FileEntry,
    readFile: ReadFile,
    signal: AbortSignal,
  ): Promise<void>
}

/** For a header: aria2 asks for one at each request, and waits a minute for the first byte. */
const MAX_READ_FOR_HEADER_BYTES = 64 * 1024 * 1024
/** Of the headers beside a file. */
const MAX_LINKS = 5
/** Clients take headers of 16 KiB in all, or less. */
const MAX_LINKED_PATH_CHARACTERS = 768

export function createFileDescriber({
  mirrors,
  digests,
}: {
  readonly mirrors: Mirrors
  readonly digests: Digests
}): FileDescriber {
  return {
    headersOf({ tree, version: { sequence }, names, entry }) {
      const path = names.map(encodeName).join('/')
      const isLinked = !tree.isPrivate && path.length <= MAX_LINKED_PATH_CHARACTERS
      const hasSelf = isWholeHere(tree, sequence)
      const metalink = `</metalink?tree=${tree.name}&version=${sequence}&path=${path}>; rel=describedby; type="${METALINK_TYPE}"`
      let last:
        | { client: string | undefined; epoch: object | undefined; revision: number; headers: string[] }
        | undefined

      function linksTo(sites: readonly Mirror[]): string {
        return sites
          .filter(({ isSelf }) => !isSelf)
          .slice(0, MAX_LINKS)
          .map(({ url }, at) => `<${url}${tree.name}/@${sequence}/${path}>; rel=duplicate; pri=${at + 1}`)
          .concat(metalink)
          .join(', ')
      }

      return (client) => {
        const epoch = isLinked ? mirrors.epoch() : undefined
        const revision = digests.revision()
        if (last?.client === client && last?.epoch === epoch && last?.revision === revision)
          return last.headers
        const headers: string[] = []
        const digest = digests.known(entry)
        if (digest !== undefined) {
          const text = Buffer.from(digest).toString('base64')
          headers.push('digest', `SHA-256=${text}`, 'repr-digest', `sha-256=:${text}:`)
        }
        if (isLinked) headers.push('link', linksTo(mirrors.nearest(tree.name, sequence, client, { hasSelf })))
        last = { client, epoch, revision, headers }
        return headers
      }
    },
    async learnDigest(request, entry, readFile, signal) {
      if (wantsSha256(request) && entry.sizeBytes <= MAX_READ_FOR_HEADER_BYTES)
        await digests.sha256(entry, readFile, signal)
    },
  }
}

export function wantsSha256({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  const wanted = `${headers['want-repr-digest'] ?? ''},${headers['want-digest'] ?? ''}`
  return wanted
    .split(',')
    .some((each) => /^\s*sha-256\s*(?:=\s*[1-9]|;\s*q\s*=\s*(?:1|0\.\d*[1-9])|$)/i.test(each))
}
