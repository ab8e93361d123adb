import { printableName } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import { MAX_DEPTH, MAX_PATH_BYTES } from './limits.ts'

/** Names from below a root, with their length as one path; empty for the root itself. */
export interface TreePath {
  readonly names: readonly Uint8Array[]
  readonly lengthBytes: number
}

export const ROOT_PATH: TreePath = { names: [], lengthBytes: 0 }

/** @throws MirrorError `limit` for a path that no system call could take: it also ends every descent */
export function childPath({ names, lengthBytes }: TreePath, name: Uint8Array): TreePath {
  const whole = lengthBytes + (names.length === 0 ? 0 : 1) + name.length
  if (names.length >= MAX_DEPTH || whole > MAX_PATH_BYTES) {
    throw new MirrorError(
      'limit',
      `a path is over ${MAX_PATH_BYTES} bytes or ${MAX_DEPTH} names deep, at "${printableName(name)}"`,
    )
  }
  return { names: [...names, name], lengthBytes: whole }
}
