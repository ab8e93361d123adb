/** Who this node is, by what lies in its home: its key, and its mesh. */
import { isMirrorError, MirrorError } from '../src/base/errors.ts'
import type { Cid } from '../src/block/cid.ts'
import { decodeStored } from '../src/record/record.ts'
import type { RecordLog } from '../src/store/record-log.ts'
import { loadKey } from './keys.ts'
import type { Paths } from './paths.ts'

export async function loadNodeKey(paths: Paths) {
  try {
    return await loadKey(paths.nodeKeyFile, "this node's key")
  } catch (error) {
    throw isMirrorError(error, 'not-found') ? notANode(paths, error) : error
  }
}

/** The first record of a log is the genesis: `init` and `join` write it before anything else. */
export async function readMesh(records: RecordLog, paths: Paths): Promise<Cid> {
  for await (const bytes of records.readAll()) {
    const record = decodeStored(bytes)
    if (record.kind === 'genesis') return record.id
    break
  }
  throw notANode(paths)
}

function notANode(paths: Paths, cause?: unknown): MirrorError {
  return new MirrorError(
    'not-found',
    `this home is no node of a mesh yet: ${paths.keysDir}, ${paths.storeDir}`,
    {
      hint: 'Start a mesh with `mirrormesh init`, or join one with `mirrormesh join TOKEN`.',
      cause,
    },
  )
}

export function notAMember(peer: string): MirrorError {
  return new MirrorError('refused', `this node, ${peer}, is not a member of its mesh (any more)`, {
    hint: 'It may have been revoked: ask an admin. To join again, use a new --home and a new invite.',
  })
}
