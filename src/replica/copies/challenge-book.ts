/**
 * What came of the challenges of other sites' copies (copy-challenger.ts), in memory, bounded: the last of each site and snapshot.
 * Of a snapshot that is no longer here nothing is known: it cannot be asked for again, and is not vouched for.
 */
import { LRUCache } from 'lru-cache'
import { type Cid, cidKey } from '../../block/cid.ts'
import { MAX_VERIFIED, type VerifiedCopy } from '../status/announced-tree.ts'
import { markOf } from './verified-copies.ts'

/** A site that is to show a snapshot, or the part of it that both hold. */
export interface Wish {
  readonly tree: string
  readonly snapshot: Cid
  readonly peer: string
}

/** `older`: the site's program does not know the question. */
export type ChallengeOutcome = 'shown' | 'not-shown' | 'no-answer' | 'older'

export interface Challenge extends Wish {
  readonly sequence: number
  readonly outcome: ChallengeOutcome
  /** In words; empty when it was shown. */
  readonly detail: string
  /** In a row; 0 when it was shown. */
  readonly failures: number
  readonly timeMs: number
  /** The same by the clock that never goes back. */
  readonly atMs: number
  /** When it may be asked for again. */
  readonly nextMs: number
  /** Of the site's program. */
  readonly version: string
}

export interface ChallengeBook {
  remember(challenge: Challenge): void
  last(wish: Wish): Challenge | undefined
  of(tree: string, peer: string): Challenge[]
  all(): Challenge[]
  /** For the announcement, newest first. */
  told(tree: string): VerifiedCopy[]
}

const MAX_REMEMBERED = 16_384

export function wishKey({ tree, snapshot, peer }: Wish): string {
  return `${tree} ${cidKey(snapshot)} ${peer}`
}

export function createChallengeBook(isHere: (tree: string, snapshot: Cid) => boolean): ChallengeBook {
  const challenges = new LRUCache<string, Challenge>({
    max: MAX_REMEMBERED,
    dispose: ({ tree, peer }, key, why) => {
      if (why !== 'set') forget(tree, peer, key)
    },
  })
  /** Their keys, to be found by tree and peer. */
  const keys = new Map<string, Map<string, Set<string>>>()

  function forget(tree: string, peer: string, key: string): void {
    const peers = keys.get(tree)
    const known = peers?.get(peer)
    if (peers === undefined || known?.delete(key) !== true) return
    if (known.size === 0) peers.delete(peer)
    if (peers.size === 0) keys.delete(tree)
  }

  function of(tree: string, peer: string): Challenge[] {
    const found: Challenge[] = []
    for (const key of [...(keys.get(tree)?.get(peer) ?? [])]) {
      const challenge = challenges.peek(key)!
      if (isHere(tree, challenge.snapshot)) found.push(challenge)
      else challenges.delete(key)
    }
    return found
  }

  return {
    remember(challenge) {
      const { tree, peer } = challenge
      const key = wishKey(challenge)
      challenges.set(key, challenge)
      const peers = keys.get(tree) ?? new Map<string, Set<string>>()
      keys.set(tree, peers)
      peers.set(peer, (peers.get(peer) ?? new Set()).add(key))
    },
    last: (wish) => challenges.peek(wishKey(wish)),
    of,
    all: () => [...keys].flatMap(([tree, peers]) => [...peers.keys()].flatMap((peer) => of(tree, peer))),
    told(tree) {
      const shown = [...(keys.get(tree)?.keys() ?? [])].flatMap((peer) =>
        of(tree, peer).flatMap(({ sequence, timeMs, outcome }) =>
          outcome === 'shown' ? [{ sequence, mark: markOf(peer), timeMs }] : [],
        ),
      )
      return shown
        .toSorted((a, b) => b.sequence - a.sequence || (a.mark < b.mark ? -1 : 1))
        .slice(0, MAX_VERIFIED)
    },
  }
}
