/** Who may sign the next head of a tree, and what that head says. */
import { MirrorError } from '../../base/errors.ts'
import { type Cid, cidKey } from '../../block/cid.ts'
import type { KeyPair } from '../../record/key.ts'
import type { HeadBody } from '../../record/kinds/head.ts'
import { type Head, type MeshState, type TreeState, takenDown } from '../../record/mesh-state.ts'

export interface NextSnapshot extends Pick<Head, 'snapshot' | 'counts'> {
  /** The snapshot has parts of this head's (of none, when there was none): it may follow no other. */
  readonly madeOf?: { readonly head: Head | undefined }
}

/** In our turn at the ledger: the head goes on from whatever is newest by then. @throws as checkPublisher */
export function nextHead(
  state: MeshState,
  tree: string,
  { snapshot, counts, madeOf }: NextSnapshot,
  nodeKey: KeyPair,
): HeadBody {
  const { name, epoch, newest } = checkPublisher(state, tree, nodeKey)
  checkStanding(state, tree, snapshot)
  if (madeOf !== undefined && newest?.id.toString() !== madeOf.head?.id.toString()) {
    throw new MirrorError('conflict', `${name} was published meanwhile, and this would take that back`, {
      facts: { tree },
      hint: 'Nothing was published. Try again: it goes on from what is newest then.',
    })
  }
  return {
    tree: name,
    epoch: epoch.epoch,
    sequence: (newest?.sequence ?? 0) + 1,
    previous: newest?.id ?? null,
    snapshot,
    counts,
  }
}

/**
 * What was taken down does not come back by being published again: no site would serve it.
 * @throws MirrorError `refused`
 */
export function checkStanding(state: Pick<MeshState, 'takedowns'>, tree: string, snapshot: Cid): void {
  if (!takenDown(state, tree).has(cidKey(snapshot))) return
  throw new MirrorError('refused', `${tree}: an admin has taken this very snapshot down`, {
    facts: { tree, snapshot: snapshot.toString() },
    hint: 'Take out what it was taken down for, and publish again. See: mirrormesh status.',
  })
}

export type PublishableTree = TreeState & { readonly epoch: NonNullable<TreeState['epoch']> }

/** @throws MirrorError `not-found` for an unknown tree, `conflict` for one in dispute, `refused` when the key is not its publisher's */
export function checkPublisher(
  state: MeshState,
  name: string,
  key: Pick<KeyPair, 'peer'>,
  whose = 'this node',
): PublishableTree {
  const tree = state.trees.get(name)
  const facts = { tree: name, peer: key.peer }
  if (tree === undefined || tree.body.removed) {
    throw new MirrorError('not-found', `the mesh has no tree ${name}`, {
      facts,
      hint: 'An admin creates it: mirrormesh tree create.',
    })
  }
  if (tree.fork !== undefined) {
    throw new MirrorError('conflict', `the tree ${name} is in dispute: two ${tree.fork.kind} at one place`, {
      facts,
      hint: `An admin chooses the branch to go on from: mirrormesh tree resolve-fork ${name}.`,
    })
  }
  if (tree.epoch?.publisher !== key.peer) {
    throw new MirrorError('refused', `${whose} is not the publisher of ${name}`, {
      facts,
      hint:
        tree.epoch === undefined
          ? 'An admin names its publisher by starting an epoch.'
          : `Its publisher is ${whoIs(state, tree.epoch.publisher)}: publish there.`,
    })
  }
  return { ...tree, epoch: tree.epoch }
}

/** The site of a member, or the bare PeerId of a key that is none. */
function whoIs(state: MeshState, peer: string): string {
  const member = state.members.get(peer)
  return member === undefined ? peer : `${member.site} (${peer})`
}
