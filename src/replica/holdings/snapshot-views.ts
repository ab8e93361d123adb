/**
 * What is written down of a snapshot that is complete here under a path filter: the filter, and the view that shows it
 * (src/dag/snapshot-view.ts). In a namespace of its own: a program of a version before must not take it for complete.
 */
import { decodeUtf8, utf8 } from '../../base/bytes.ts'
import { isMirrorError } from '../../base/errors.ts'
import { isFilterPath, type PathFilter, type PathRule } from '../../base/path-filter.ts'
import { type Cid, parseCid } from '../../block/cid.ts'

export interface SnapshotView {
  readonly filter: PathFilter
  readonly cid: Cid
}

/** By `tree/snapshot`. */
export const VIEWS_NAMESPACE = 'complete-views'

export function encodeView({ filter, cid }: SnapshotView): Uint8Array {
  return utf8(JSON.stringify({ filter, view: cid.toString() }))
}

/** Undefined for what this version does not understand. */
export function decodeView(bytes: Uint8Array): SnapshotView | undefined {
  try {
    const { filter, view } = JSON.parse(decodeUtf8(bytes) ?? '') as { filter?: unknown; view?: unknown }
    if (!Array.isArray(filter) || filter.length === 0 || !filter.every(isRule)) return undefined
    if (typeof view !== 'string') return undefined
    return { filter, cid: parseCid(view) }
  } catch (error) {
    if (error instanceof SyntaxError || isMirrorError(error)) return undefined
    throw error
  }
}

function isRule(value: unknown): value is PathRule {
  const { include, exclude } = (value ?? {}) as { include?: unknown; exclude?: unknown }
  return [include, exclude].every((list) => Array.isArray(list) && list.every(isFilterPath))
}
