/**
 * Asks the gateways at hand where else the snapshot is, and adds those to them that prove themselves. It goes on beside the
 * fetch, which waits for none of it.
 *
 * A list is somebody's word. A gateway that lies in it could send us to machines that it cannot reach itself, so what is named is
 * a stranger: 8 of them at most, of sane form (mirror-list.ts), no further inside than the gateway that names it (address-kind.ts;
 * looked at again whenever its name is resolved), never by HTTP where the one that names it speaks HTTPS. It is asked for one thing
 * first, the records of the tree, without a token; only if they are of this mesh and know of the snapshot it is asked for blocks. Nobody's redirects
 * are followed. Of a private tree nothing is asked of strangers, not even whether they have it.
 */
import { isIP } from 'node:net'
import type { Clock } from '../../src/base/clock.ts'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { Cid } from '../../src/block/cid.ts'
import { type AddressKind, kindOfAddress, mayLeadTo } from './address-kind.ts'
import type { Gateways } from './gateways.ts'
import { createHttpGateway, type HttpGateway } from './http-gateway.ts'
import { MAX_LEARNED, originsIn } from './mirror-list.ts'
import { proveTree } from './prove-tree.ts'

export interface LearnOptions {
  readonly mesh: Cid
  readonly tree: string
  /** Of the snapshot that is fetched. */
  readonly sequence: number
  readonly clock: Clock
  readonly signal: AbortSignal
}

export interface Learned {
  readonly origin: string
  /** The gateway that named it. */
  readonly namedBy: string
  /** The newest head that it proves. */
  readonly newestSequence: number
}

/** Gateways whose lists are read. */
const MAX_ASKED = 4
const NOBODY: Pick<Gateways, 'leave'> = { leave: () => undefined }

/**
 * Those that were added, when all have answered or been given up. Who is found to lie is left and said to be; who cannot be
 * reached is no matter.
 */
export async function learnGateways(
  known: readonly HttpGateway[],
  gateways: Pick<Gateways, 'add' | 'leave' | 'left'>,
  { mesh, tree, sequence, clock, signal }: LearnOptions,
): Promise<readonly Learned[]> {
  const asked = known.filter(({ origin }) => !gateways.left.has(origin)).slice(0, MAX_ASKED)
  const lists = await Promise.all(
    asked.map(async (gateway) => {
      // What is not told is not missed: an older gateway has no list, and of a snapshot that nobody else has there is none.
      const text = await gateway.mirrorList(tree, sequence, signal).catch(() => undefined)
      const isSecureOnly = gateway.origin.startsWith('https:')
      const from = kindOfAddress(gateway.answeredFrom() ?? '')
      const origins = text === undefined ? [] : originsIn(text, { tree, sequence, isSecureOnly })
      return origins.map((origin) => ({ origin, from, namedBy: gateway.origin }))
    }),
  )
  const named = inTurn(lists, new Set(known.map(({ origin }) => origin))).slice(0, MAX_LEARNED)
  const tried = await Promise.all(named.map((stranger) => tryStranger(stranger)))
  return tried.filter((each) => each !== undefined)

  async function tryStranger({ origin, from, namedBy }: Named): Promise<Learned | undefined> {
    const admits = (address: string): boolean => mayLeadTo(from, kindOfAddress(address))
    const host = new URL(origin).hostname.replace(/^\[|\]$/g, '')
    if (isIP(host) !== 0 && !admits(host)) {
      gateways.leave(origin, `${namedBy} names it, and is not to lead to such an address`)
      return undefined
    }
    const gateway = createHttpGateway(origin, { admits })
    try {
      const proved = await proveTree([gateway], NOBODY, { mesh, path: `/${tree}`, clock, signal })
      const newest = proved.tree.name === tree ? proved.tree.newest : undefined
      if (newest === undefined || newest.sequence < sequence)
        throw new MirrorError('degraded', `it is behind: it knows of no snapshot ${sequence}`)
      gateways.add(gateway)
      return { origin, namedBy, newestSequence: newest.sequence }
    } catch (error) {
      gateway.close()
      if (
        isMirrorError(error, 'corrupt') ||
        isMirrorError(error, 'degraded') ||
        isMirrorError(error, 'refused')
      )
        gateways.leave(origin, error.message)
      return undefined
    }
  }
}

interface Named {
  readonly origin: string
  readonly from: AddressKind
  readonly namedBy: string
}

/** The first of each list, then the second of each: no list fills all places. */
function inTurn(lists: readonly (readonly Named[])[], known: Set<string>): Named[] {
  const named: Named[] = []
  for (let at = 0; lists.some((list) => at < list.length); at++) {
    for (const list of lists) {
      const each = list[at]
      if (each === undefined || known.has(each.origin)) continue
      known.add(each.origin)
      named.push(each)
    }
  }
  return named
}
