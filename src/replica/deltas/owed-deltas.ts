/**
 * The deltas that no record speaks of yet: those made after the head (`after`). Written down before the head is signed, so that
 * a daemon that was killed before it told of them makes them at its next start.
 */
import { decodeUtf8, utf8 } from '../../base/bytes.ts'
import type { Cid } from '../../block/cid.ts'
import type { KeyValue } from '../../store/index/key-value.ts'

export interface OwedDeltas {
  add(tree: string, owed: { readonly snapshot: Cid; readonly baseSequence: number }): Promise<void>
  /** Sequence of the base against which deltas of this snapshot are owed. */
  baseOf(tree: string, snapshot: Cid): Promise<number | undefined>
  remove(tree: string, snapshot: Cid): Promise<void>
}

/** One for each tree: a newer snapshot ends the making for the one before. @param values Store.values('deltas') */
export function createOwedDeltas(values: KeyValue): OwedDeltas {
  async function baseOf(tree: string, snapshot: Cid): Promise<number | undefined> {
    const value = await values.get(tree)
    if (value === undefined) return undefined
    const [owed, sequence = ''] = (decodeUtf8(value) ?? '').split(' ')
    return owed === snapshot.toString() && /^[1-9]\d{0,15}$/.test(sequence) ? Number(sequence) : undefined
  }
  return {
    add: (tree, { snapshot, baseSequence }) =>
      values.put(tree, utf8(`${snapshot.toString()} ${baseSequence}`), { sync: true }),
    baseOf,
    async remove(tree, snapshot) {
      if ((await baseOf(tree, snapshot)) !== undefined) await values.delete(tree)
    },
  }
}
