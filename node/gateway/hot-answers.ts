/**
 * Small files of public trees that were asked for of late, each with the headers of its answer: what a thousand clients of a
 * repository ask for again and again is answered at once, without a walk through the tree, a stream or a promise.
 *
 * What may be seen is never remembered. Each answer is of one revision of the catalogue; after another it is chosen anew
 * which tree and version the address means for somebody without a token, and only the same of both, public and complete here,
 * makes it count again. So a takedown, a tree that becomes private, a tag that moves and a part that goes missing are
 * seen by the next request. A request with a token, a range, or a digest wanted goes the long way.
 *
 * Bounded by bytes: of bodies, addresses and headers together.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { LRUCache } from 'lru-cache'
import { isMirrorError } from '../../src/base/errors.ts'
import type { DescribedFile, FileDescriber, FileHeaders } from './describe-file.ts'
import type { WholeAnswer } from './file-response.ts'
import { checkConditions } from './precondition.ts'
import { parseTarget } from './request-target.ts'
import { type Catalogue, type ChosenVersion, chooseVersion, matchTree } from './version.ts'

export interface HotAnswers {
  /** Bytes of the body that was sent; undefined when nothing was done and the long way is to be gone. */
  send(request: IncomingMessage, response: ServerResponse): number | undefined
  /** What was just answered to a GET of the address, whole, without conditions. */
  note(url: string, answer: NotedAnswer): void
}

export interface NotedAnswer extends WholeAnswer {
  readonly file: DescribedFile
  /** Of the catalogue before the version was chosen. */
  readonly revision: number
}

export interface HotAnswersComponents {
  readonly catalogue: Catalogue
  readonly describer: Pick<FileDescriber, 'headersOf'>
  /** The version was shown at its tree's plain address. */
  readonly onShown: (tree: string, version: ChosenVersion) => void
}

/** Longer files are streamed. */
export const MAX_HOT_BODY_BYTES = 32 * 1024
const MAX_URL_CHARACTERS = 1024
/** An entry of the map, and what V8 takes for strings and objects. */
const OVERHEAD_BYTES = 1024

interface HotAnswer extends Omit<NotedAnswer, 'revision'> {
  readonly notModified: readonly string[]
  fileHeaders: FileHeaders
  revision: number
}

export function createHotAnswers(
  { catalogue, describer, onShown }: HotAnswersComponents,
  { maxBytes = 32 * 1024 * 1024 }: { readonly maxBytes?: number } = {},
): HotAnswers {
  const answers = new LRUCache<string, HotAnswer>({ maxSize: maxBytes })

  /** Whether somebody without a token would be answered the same now. */
  function isCurrent(answer: HotAnswer, url: string): boolean {
    const revision = catalogue.revision()
    if (answer.revision === revision) return true
    const file = chosenNow(url)
    if (file === undefined || file.tree.name !== answer.file.tree.name) return false
    if (!isSameVersion(file.version, answer.file.version)) return false
    answer.fileHeaders = describer.headersOf({ ...answer.file, ...file })
    answer.revision = revision
    return true
  }

  /** What a public address means; undefined where the long way has to say it. */
  function chosenNow(url: string): Pick<DescribedFile, 'tree' | 'version'> | undefined {
    const open = { ...catalogue, tree: (name: string) => publicTree(catalogue, name) }
    const match = matchTree(open, parseTarget(url).segments)
    if (match === undefined) return undefined
    const { tree, rest } = match
    try {
      const { version } = chooseVersion(tree, rest)
      return isPlain({ tree, version }) ? { tree, version } : undefined
    } catch (error) {
      if (isMirrorError(error)) return undefined
      throw error
    }
  }

  return {
    send(request, response) {
      const { url = '', method, headers } = request
      const isGet = method === 'GET'
      const answer = isGet || method === 'HEAD' ? answers.get(url) : undefined
      if (answer === undefined || !isPlainRequest(request)) return undefined
      if (!isCurrent(answer, url)) {
        answers.delete(url)
        return undefined
      }
      const condition = hasConditions(headers) ? checkConditions(headers, answer.validators) : 'proceed'
      if (condition === 'failed') return undefined
      const { file, body } = answer
      if (file.version.isLatest) onShown(file.tree.name, file.version)
      const more = answer.fileHeaders(request.socket.remoteAddress)
      if (condition === 'not-modified') {
        response.writeHead(304, [...answer.notModified, ...more])
        response.end()
        return 0
      }
      response.writeHead(200, [...answer.headers, ...more])
      response.end(isGet ? body : undefined)
      return isGet ? body.length : 0
    },
    note(url, { file, validators, headers: said, body, revision }) {
      if (url.length > MAX_URL_CHARACTERS || url.includes('?') || body.length > MAX_HOT_BODY_BYTES) return
      if (!isPlain(file) || revision !== catalogue.revision()) return
      const headers = without(said, CHANGING)
      const notModified = without(headers, OF_BODIES)
      const size = headers.reduce((sum, text) => sum + text.length, body.length + url.length + OVERHEAD_BYTES)
      // What was read may lie in one buffer with much else.
      const kept = { file, validators, headers, notModified, body: Uint8Array.from(body), revision }
      answers.set(url, { ...kept, fileHeaders: describer.headersOf(file) }, { size })
    },
  }
}

/** What a FileDescriber makes, for each client. */
const CHANGING: ReadonlySet<string> = new Set(['link', 'digest', 'repr-digest'])
/** A 304 has none of them. */
const OF_BODIES: ReadonlySet<string> = new Set(['accept-ranges', 'content-type', 'content-length'])

function without(headers: readonly string[], names: ReadonlySet<string>): string[] {
  const left: string[] = []
  for (let at = 0; at < headers.length; at += 2)
    if (!names.has(headers[at]!)) left.push(headers[at]!, headers[at + 1]!)
  return left
}

function publicTree(catalogue: Catalogue, name: string): ReturnType<Catalogue['tree']> {
  return catalogue.isPrivate(name) === false ? catalogue.tree(name) : undefined
}

/** Everybody may read it, and all of it is here: nothing but the snapshot decides what is at a path. */
function isPlain({ tree, version }: Pick<DescribedFile, 'tree' | 'version'>): boolean {
  return !tree.isPrivate && version.isComplete && tree.filterOf?.(version.snapshot) === undefined
}

function isPlainRequest({ headers }: IncomingMessage): boolean {
  return (
    headers.authorization === undefined &&
    headers.range === undefined &&
    headers['want-repr-digest'] === undefined &&
    headers['want-digest'] === undefined
  )
}

function hasConditions(headers: IncomingMessage['headers']): boolean {
  return (
    headers['if-none-match'] !== undefined ||
    headers['if-modified-since'] !== undefined ||
    headers['if-match'] !== undefined ||
    headers['if-unmodified-since'] !== undefined
  )
}

function isSameVersion(a: ChosenVersion, b: ChosenVersion): boolean {
  return (
    a.sequence === b.sequence &&
    a.snapshot.equals(b.snapshot) &&
    a.behind === b.behind &&
    a.timeMs === b.timeMs &&
    a.isImmutable === b.isImmutable &&
    a.isLatest === b.isLatest &&
    a.looksBack === b.looksBack &&
    a.isTagged === b.isTagged
  )
}
