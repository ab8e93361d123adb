/** Which snapshot of a proved tree is meant, by the rules of the gateways' addresses. */
import { MirrorError } from '../../src/base/errors.ts'
import type { Cid } from '../../src/block/cid.ts'
import { cidKey } from '../../src/block/cid.ts'
import {
  type Head,
  type MeshState,
  newestStanding,
  type TreeState,
  takenDown,
} from '../../src/record/mesh-state.ts'

export interface MeantVersion {
  readonly sequence: number
  readonly snapshot: Cid
  /** Of the record that says so: a head's, or a tag's. */
  readonly saidMs: number
  /** The newest head of the tree, whatever is meant. */
  readonly newest: Head
}

/**
 * What an admin has taken down is meant by nothing: a gateway that has not heard of it is not asked for it.
 * @param ref a tag, a sequence in digits, or `head`; absent: the tag `latest` if there is one, else the newest head
 * @throws MirrorError `not-found` for what there is not, `refused` for what was taken down
 */
export function chooseMeant(
  state: Pick<MeshState, 'takedowns'>,
  tree: TreeState,
  ref: string | undefined,
): MeantVersion {
  const { newest, tags, history, name } = tree
  const gone = takenDown(state, name)
  const standing = newestStanding(state, tree)
  const isGone = ({ snapshot }: { readonly snapshot: Cid }): boolean => gone.has(cidKey(snapshot))
  if (newest === undefined) throw new MirrorError('not-found', `nothing has been published in ${name} yet`)
  const ofHead = ({ sequence, snapshot, timeMs }: Head): MeantVersion => ({
    sequence,
    snapshot,
    saidMs: timeMs,
    newest,
  })
  const latest = tags.get('latest')
  const wanted = ref ?? (latest !== undefined && !isGone(latest.body) ? 'latest' : 'head')
  if (wanted === 'head') {
    if (standing === undefined) throw wasTakenDown(name)
    return ofHead(standing)
  }
  if (/^(0|[1-9]\d{0,15})$/.test(wanted)) {
    const head = history.find(({ sequence }) => sequence === Number(wanted))
    if (head !== undefined && isGone(head)) throw wasTakenDown(`${name}@${wanted}`)
    if (head !== undefined) return ofHead(head)
  }
  const tag = tags.get(wanted)
  if (tag !== undefined && isGone(tag.body)) throw wasTakenDown(`${name}@${wanted}`)
  if (tag !== undefined) {
    const { sequence, snapshot } = tag.body
    return { sequence, snapshot, saidMs: tag.origin.timeMs, newest }
  }
  throw new MirrorError('not-found', `${name} has no snapshot ${wanted}`, {
    hint: `Its newest sequence is ${newest.sequence}.`,
  })
}

/**
 * Paths that the snapshot must not have: takedowns by path are of all snapshots until then, and name those that an admin's node
 * had. Whoever has the snapshot sees whether it is another one.
 */
export function pathsTakenDown(
  { takedowns }: Pick<MeshState, 'takedowns'>,
  tree: string,
  { sequence }: Pick<MeantVersion, 'sequence'>,
): readonly string[] {
  return [...takedowns.values()].flatMap(({ body }) =>
    body.tree === tree && !body.removed && body.path !== null && body.through >= sequence ? [body.path] : [],
  )
}

export function wasTakenDown(what: string): MirrorError {
  return new MirrorError('refused', `${what} was taken down by an admin of the mesh`, {
    hint: 'Ask for another version, or without one.',
  })
}

/** @throws MirrorError `refused` when the newest head is older than one that was seen before, or than `maxAgeMs` */
export function checkFresh(
  tree: TreeState,
  { newest }: MeantVersion,
  {
    seen,
    acceptOlder,
    maxAgeMs,
    nowMs,
  }: {
    readonly seen: { readonly sequence: number } | undefined
    readonly acceptOlder: boolean
    readonly maxAgeMs: number | undefined
    readonly nowMs: number
  },
): void {
  if (seen !== undefined && newest.sequence < seen.sequence && !acceptOlder) {
    throw new MirrorError(
      'refused',
      `the newest head of ${tree.name} that the gateways prove is ${newest.sequence}; ${seen.sequence} has been seen here before`,
      {
        hint: 'They are behind, or something holds newer heads back: name more gateways with --gateway, or --accept-older.',
      },
    )
  }
  if (maxAgeMs === undefined || nowMs - newest.timeMs <= maxAgeMs) return
  throw new MirrorError(
    'refused',
    `the newest head of ${tree.name} that the gateways prove is of ${new Date(newest.timeMs).toISOString()}, older than --max-age`,
    { hint: 'Nothing newer was published, or something holds it back: ask more gateways with --gateway.' },
  )
}
