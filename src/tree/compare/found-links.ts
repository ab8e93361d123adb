/**
 * Hard-link groups of a folder that is read in walk order, named as a snapshot of it names them: by its first member.
 * Of that one it is not known whether any other will come, or all are outside: it counts as what it was, alone or the
 * first of a group, and those that come tell the rest. Memory: see link-table.ts, and 8 bytes for every group.
 */
import type fs from 'node:fs'
import { blake3 } from '../../block/hash.ts'
import { LINK_BYTES } from '../../dag/limits.ts'
import { createLinkTable } from '../import/link-table.ts'

export interface FoundLinks {
  /** @param before the group that the snapshot has there */
  linkOf(stat: fs.BigIntStats, below: Uint8Array, before: Uint8Array | undefined): Uint8Array | undefined
}

const FIRST_GROUPS = 1024

export function createFoundLinks(): FoundLinks {
  const table = createLinkTable()
  let ids = new Uint8Array(FIRST_GROUPS * LINK_BYTES)
  return {
    linkOf(stat, below, before) {
      if (stat.isDirectory() || stat.nlink < 2n) return undefined
      const { group, isFirst } = table.meet(stat.dev, stat.ino, Number(stat.nlink))
      const at = group * LINK_BYTES
      if (!isFirst) return ids.slice(at, at + LINK_BYTES)
      if (at >= ids.length) {
        const larger = new Uint8Array(ids.length * 2)
        larger.set(ids)
        ids = larger
      }
      const id = blake3.digest(below).slice(0, LINK_BYTES)
      ids.set(id, at)
      return before === undefined ? undefined : id
    },
  }
}
