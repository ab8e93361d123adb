/**
 * Makes a delta's targets of it and of the base's blocks. All lengths are known from the two indexes and checked before
 * anything is decoded; decoding is bounded by them; and each block that comes out is checked against its own CID. So
 * a delta with a wrong base, a wrong length or a frame that expands without bound gives nothing, and never wrong bytes.
 */
import { MirrorError } from '../base/errors.ts'
import type { Block } from '../block/block.ts'
import { verifyBlock } from '../block/cid.ts'
import { decodeWindowedLater } from '../block/encoding.ts'
import type { IndexedBlock } from '../dag/block-index.ts'
import { MAX_DELTA_BLOCKS, MAX_FRAME_BYTES, MAX_TARGET_BYTES, MAX_WINDOW_BYTES } from './delta.ts'

export interface DeltaParts {
  readonly frame: Uint8Array
  /** As the target's index has them, in the order of the frame's bytes. */
  readonly targets: readonly IndexedBlock[]
  /** As the base's index has them, in the order of the window's bytes. */
  readonly base: readonly IndexedBlock[]
}

/**
 * Bytes of the targets and of the window.
 * @throws MirrorError `corrupt` when either is out of bounds
 */
export function checkDelta({ frame, targets, base }: DeltaParts): {
  readonly targetBytes: number
  readonly windowBytes: number
} {
  const targetBytes = sizeOf(targets)
  const windowBytes = sizeOf(base)
  const problem =
    (frame.length === 0 || frame.length > MAX_FRAME_BYTES ? `a frame of ${frame.length} bytes` : undefined) ??
    outOfBounds('targets', targets.length, targetBytes, MAX_TARGET_BYTES) ??
    outOfBounds('blocks of the base', base.length, windowBytes, MAX_WINDOW_BYTES)
  if (problem !== undefined) throw new MirrorError('corrupt', `not a delta: ${problem}`)
  return { targetBytes, windowBytes }
}

/**
 * The targets, each verified.
 * @param readBase the plain bytes of base blocks, undefined for one that is not here (any more)
 * @returns undefined when a block of the base is not here
 * @throws MirrorError `corrupt` when the delta does not give its targets
 */
export async function applyDelta(
  parts: DeltaParts,
  readBase: (blocks: readonly IndexedBlock[]) => Promise<readonly (Uint8Array | undefined)[]>,
): Promise<Block[] | undefined> {
  const { targetBytes, windowBytes } = checkDelta(parts)
  const window = new Uint8Array(windowBytes)
  let at = 0
  for (const [index, bytes] of (await readBase(parts.base)).entries()) {
    if (bytes === undefined) return undefined
    if (bytes.length !== parts.base[index]!.lengthBytes)
      throw new MirrorError(
        'corrupt',
        'not a delta: a block of the base has another length than its index says',
      )
    window.set(bytes, at)
    at += bytes.length
  }
  const plain = await decodeWindowedLater({ bytes: parts.frame, window, lengthBytes: targetBytes })
  let from = 0
  return parts.targets.map(({ cid, lengthBytes }) => {
    const bytes = plain.subarray(from, from + lengthBytes)
    from += lengthBytes
    verifyBlock(cid, bytes)
    return { cid, bytes }
  })
}

function outOfBounds(what: string, blocks: number, bytes: number, maxBytes: number): string | undefined {
  if (blocks >= 1 && blocks <= MAX_DELTA_BLOCKS && bytes <= maxBytes) return undefined
  return `${blocks} ${what} of ${bytes} bytes`
}

function sizeOf(blocks: readonly IndexedBlock[]): number {
  let bytes = 0
  for (const { lengthBytes } of blocks) bytes += lengthBytes
  return bytes
}
