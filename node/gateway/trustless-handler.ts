/**
 * `/ipfs/<cid>`: a block, or what is below it as CAR, by its CID, as the Trustless Gateway specification
 * (https://specs.ipfs.tech/http-gateways/trustless-gateway/) has it. The client checks the bytes, with a BLAKE3 hasher;
 * our directories are not UnixFS, so there are no paths, and `dag-scope=entity` is the block alone.
 *
 * Only what everybody may read: blocks of public trees. With `?tree=T`, and a token that opens it where it is private,
 * the blocks of that tree. Only what is here: nothing is fetched for it, and of an archive nothing goes while it is sent. A tree called
 * `ipfs` goes before it.
 */
import type { IncomingMessage } from 'node:http'
import { CID } from 'multiformats/cid'
import { MirrorError } from '../../src/base/errors.ts'
import { type Cid, checkCid } from '../../src/block/cid.ts'
import type { Scratch } from '../../src/dag/scratch.ts'
import type { BlockReader, Lease } from '../../src/store/block-store.ts'
import { CAR_TYPE, type CarScope, carOf } from './car.ts'
import { lookThrough } from './look-through.ts'
import { checkConditions } from './precondition.ts'
import type { RequestTarget } from './request-target.ts'
import type { Rights } from './rights.ts'
import { sendPieces } from './send-body.ts'
import type { Handler } from './tree-handler.ts'
import { matchTree } from './version.ts'

export interface TrustlessComponents {
  /** The blocks of the tree, else those of public trees; undefined where these cannot be told from others. */
  readonly blocksFor: (tree: string | undefined) => BlockReader | undefined
  /** Keeps what lies below a block while an archive is made of it. */
  readonly holdBelow: (cid: Cid) => Lease
  readonly scratch: Scratch
}

const RAW_TYPE = 'application/vnd.ipld.raw'
/** What names bytes names them for ever: 48 weeks, as other gateways say. */
const FOR_EVER = 'public, max-age=29030400, immutable'
const IDENTITY = 0

type Asked = { readonly format: 'raw' } | { readonly format: 'car'; readonly scope: CarScope }

/** What handles an address, or undefined when it asks for none of this. */
export function createTrustlessHandler({
  blocksFor,
  holdBelow,
  scratch,
}: TrustlessComponents): (target: RequestTarget, rights: Rights) => Handler | undefined {
  const handle: Handler = async (request, response, target, options) => {
    // Read by scripts of any page: it is public, and no cookie opens more of it.
    response.setHeader('access-control-allow-origin', '*')
    response.setHeader('vary', 'accept, authorization')
    if (target.segments.length > 2)
      throw new MirrorError('invalid', 'there are no paths below a CID here: folders are not UnixFS', {
        hint: 'Ask for the root, and follow its links; or ask by path, at /TREE/PATH.',
      })
    const cid = readCid(Buffer.from(target.segments[1]!.name).toString('latin1'))
    const asked = readAsked(target, request)
    const { signal } = options
    const blocks = sourceOf(target, options.rights)
    const name = cid.toString()
    const isGet = request.method === 'GET'
    response.setHeader('x-ipfs-path', `/ipfs/${name}`)
    response.setHeader('x-ipfs-roots', name)
    response.setHeader('cache-control', blocks.isPrivate ? FOR_EVER.replace('public', 'private') : FOR_EVER)
    response.setHeader(
      'content-disposition',
      `attachment; filename="${name}.${asked.format === 'raw' ? 'bin' : 'car'}"`,
    )
    using held = new DisposableStack()
    const lease =
      asked.format === 'car' && asked.scope === 'all' && isGet ? held.use(holdBelow(checked(cid))) : undefined
    const bytes =
      cid.multihash.code === IDENTITY ? cid.multihash.digest : await blocks.get(checked(cid), signal)
    if (bytes === undefined) throw new MirrorError('not-found', 'no such block is here that you may read')
    const etag = asked.format === 'raw' ? `"${name}.raw"` : `"${name}.car.${asked.scope}"`
    response.setHeader('etag', etag)
    const condition = checkConditions(
      { 'if-match': request.headers['if-match'], 'if-none-match': request.headers['if-none-match'] },
      { etag, isImmutable: true },
    )
    if (condition !== 'proceed') {
      response.statusCode = condition === 'not-modified' ? 304 : 412
      response.end()
      return
    }
    if (lease?.isLate === true) await lookThrough({ blocks, scratch }, checked(cid), signal)
    response.statusCode = 200
    if (asked.format === 'raw') {
      response.setHeader('content-type', RAW_TYPE)
      response.setHeader('content-length', bytes.length)
      if (isGet) await sendPieces(response, ReadableStream.from([bytes]), options)
    } else {
      response.setHeader('content-type', CAR_TYPE)
      response.setHeader('accept-ranges', 'none')
      const { scope } = asked
      if (isGet)
        await sendPieces(response, carOf({ blocks, scratch }, checked(cid), { scope, signal }), options)
    }
    response.end()
  }

  function sourceOf({ query }: RequestTarget, rights: Rights): BlockReader & { readonly isPrivate: boolean } {
    const tree = query.get('tree') ?? undefined
    const found = tree === undefined ? undefined : rights.catalogue.tree(tree)
    if (tree !== undefined && found === undefined) throw rights.noSuchTree()
    const blocks = blocksFor(tree)
    if (blocks === undefined)
      throw new MirrorError(
        'unsupported',
        'this node holds private trees, and gives no blocks by their CIDs',
        {
          hint: 'Ask by path, at /TREE/PATH.',
        },
      )
    const { get, has } = blocks
    return { get, has, isPrivate: found?.isPrivate === true }
  }

  return (target: RequestTarget, rights: Rights): Handler | undefined => {
    const word = Buffer.from(target.segments[0]?.name ?? '').toString('latin1')
    if (word !== 'ipfs' || target.segments.length < 2) return undefined
    return matchTree(rights.catalogue, target.segments) === undefined ? handle : undefined
  }
}

function readCid(text: string): CID {
  try {
    return CID.parse(text)
  } catch (error) {
    throw new MirrorError('invalid', 'not a CID', { cause: error })
  }
}

/** @throws MirrorError `not-found`: no other kind of block is in any tree */
function checked(cid: CID): Cid {
  try {
    return checkCid(cid)
  } catch (error) {
    throw new MirrorError('not-found', 'no such block is here that you may read', {
      hint: 'Blocks here are raw or dag-cbor, with blake3-256.',
      cause: error,
    })
  }
}

/** The query goes before the Accept header. */
function readAsked({ query }: RequestTarget, { headers }: IncomingMessage): Asked {
  const accepted = (headers.accept ?? '').split(',').map((each) => each.trim().toLowerCase())
  const car = accepted.find((each) => /^application\/vnd\.ipld\.car *(;|$)/.test(each))
  const isRaw = accepted.some((each) => /^application\/vnd\.ipld\.raw *(;|$)/.test(each))
  const format = query.get('format') ?? (isRaw ? 'raw' : car === undefined ? undefined : 'car')
  if (format === 'raw') return { format }
  if (format !== 'car')
    throw new MirrorError('invalid', 'a block is there as raw or as car', {
      hint: `Add ?format=raw or ?format=car, or accept ${RAW_TYPE} or application/vnd.ipld.car.`,
    })
  const version = query.get('car-version') ?? /; *version *= *"?(\w+)/.exec(car ?? '')?.[1] ?? '1'
  if (version !== '1') throw new MirrorError('invalid', 'CARs are of version 1 here')
  const scope = query.get('dag-scope') ?? 'all'
  if (scope !== 'all' && scope !== 'entity' && scope !== 'block')
    throw new MirrorError('invalid', 'a dag-scope is block, entity or all')
  return { format, scope: scope === 'all' ? 'all' : 'block' }
}
