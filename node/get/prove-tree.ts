/**
 * What a tree is, out of the records that several gateways hand out: folded together, so that the newest of what any of them
 * knows counts, a revocation as much as a head. A gateway that hands out something else is left. None of them is believed
 * in anything: the mesh's id is given, and everything else is signed by what leads from there.
 */
import type { Clock } from '../../src/base/clock.ts'
import { asMirrorError, isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { MAX_TREE_SEGMENTS } from '../../src/base/names.ts'
import type { Cid } from '../../src/block/cid.ts'
import type { MeshState, TreeState } from '../../src/record/mesh-state.ts'
import { createMeshStateBuilder } from '../../src/record/mesh-state-builder.ts'
import { decodeSigned, type VerifiedRecord } from '../../src/record/record.ts'
import type { Gateways } from './gateways.ts'
import type { HttpGateway } from './http-gateway.ts'

export interface ProvedTree {
  readonly state: MeshState
  readonly tree: TreeState
  /** The rest of the path, below the tree. */
  readonly names: readonly string[]
}

/** After the first answer. */
const PATIENCE_MS = 3_000

/** @throws MirrorError `not-found` when no gateway proves such a tree, `unreachable` when none answers as one of the mesh */
export async function proveTree(
  gateways: readonly HttpGateway[],
  { leave }: Pick<Gateways, 'leave'>,
  {
    mesh,
    path,
    clock,
    signal,
  }: { readonly mesh: Cid; readonly path: string; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<ProvedTree> {
  const builder = createMeshStateBuilder(mesh)
  const failures: MirrorError[] = []
  let answers = 0
  // What lies below the tree is nobody's business yet.
  const asked = path
    .split('/')
    .slice(0, 1 + MAX_TREE_SEGMENTS)
    .join('/')
  const late = new AbortController()
  let cancelLate: (() => void) | undefined
  const proofs = await Promise.all(
    gateways.map(async (gateway) => {
      try {
        const frames = await gateway.proof(asked, AbortSignal.any([signal, late.signal]))
        const records = frames && checked(frames, mesh)
        // The others get a moment more: one that is silent holds up nobody.
        cancelLate ??= clock.after(PATIENCE_MS, () => late.abort(tooSlow()))
        return records
      } catch (error) {
        signal.throwIfAborted()
        const failure = asMirrorError(error, `ask ${gateway.origin}`)
        failures.push(failure)
        leave(gateway.origin, failure.message)
        return undefined
      }
    }),
  ).finally(() => cancelLate?.())
  for (const proof of proofs) {
    if (proof === undefined) continue
    answers++
    builder.addAll(proof)
  }
  const found = treeIn(builder.state, path)
  if (found !== undefined) return { state: builder.state, ...found }
  if (answers === 0 && failures[0] !== undefined) {
    const refused = failures.find((failure) => isMirrorError(failure, 'refused'))
    throw refused ?? failures[0]
  }
  throw new MirrorError('not-found', `no gateway proves a tree at ${path} of the mesh ${mesh.toString()}`, {
    hint: 'Is the name right, and the id of the mesh? The address / of a gateway lists its trees.',
  })
}

/** @throws MirrorError `corrupt` for records that are none, or begin another mesh */
function checked(frames: readonly Uint8Array[], mesh: Cid): VerifiedRecord[] {
  const records = frames.map((bytes) => decodeSigned(bytes))
  const genesis = records.find((record) => record.mesh === null)
  if (genesis === undefined || !genesis.id.equals(mesh)) {
    throw new MirrorError(
      'corrupt',
      genesis === undefined
        ? 'it does not say of which mesh it is'
        : `it is a gateway of another mesh, ${genesis.id.toString()}`,
    )
  }
  return records
}

function treeIn(state: MeshState, path: string): Pick<ProvedTree, 'tree' | 'names'> | undefined {
  const names = path.split('/').filter(Boolean)
  for (let count = Math.min(MAX_TREE_SEGMENTS, names.length); count > 0; count--) {
    const tree = state.trees.get(names.slice(0, count).join('/'))
    if (tree !== undefined && !tree.body.removed) return { tree, names: names.slice(count) }
  }
  return undefined
}

function tooSlow(): MirrorError {
  return new MirrorError('timed-out', 'it does not say what it knows, when others have')
}
