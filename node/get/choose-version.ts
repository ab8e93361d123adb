/** Which snapshot of a proved tree is meant, by the rules of the gateways' addresses. */
import { MirrorError } from '../../src/base/errors.ts'
import type { Cid } from '../../src/block/cid.ts'
import type { Head, TreeState } from '../../src/record/mesh-state.ts'

export interface MeantVersion {
  readonly sequence: number
  readonly snapshot: Cid
  /** Of the record that says so: a head's, or a tag's. */
  readonly saidMs: number
  /** The newest head of the tree, whatever is meant. */
  readonly newest: Head
}

/** @param ref a tag, a sequence in digits, or `head`; absent: the tag `latest` if there is one, else the newest head */
export function chooseMeant(tree: TreeState, ref: string | undefined): MeantVersion {
  const { newest, tags, history, name } = tree
  if (newest === undefined) throw new MirrorError('not-found', `nothing has been published in ${name} yet`)
  const ofHead = ({ sequence, snapshot, timeMs }: Head): MeantVersion => ({
    sequence,
    snapshot,
    saidMs: timeMs,
    newest,
  })
  const wanted = ref ?? (tags.has('latest') ? 'latest' : 'head')
  if (wanted === 'head') return ofHead(newest)
  if (/^(0|[1-9]\d{0,15})$/.test(wanted)) {
    const head = history.find(({ sequence }) => sequence === Number(wanted))
    if (head !== undefined) return ofHead(head)
  }
  const tag = tags.get(wanted)
  if (tag !== undefined) {
    const { sequence, snapshot } = tag.body
    return { sequence, snapshot, saidMs: tag.origin.timeMs, newest }
  }
  throw new MirrorError('not-found', `${name} has no snapshot ${wanted}`, {
    hint: `Its newest sequence is ${newest.sequence}.`,
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
