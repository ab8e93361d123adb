/**
 * Hard-link groups, found by inode while the tree is scanned. An inode is forgotten once all of its links were met, so
 * memory follows the number of inodes whose links lie far apart, not the number of files.
 */
import type { LinkGroup } from './spool.ts'

export interface LinkTable {
  /** The group of an inode with `links` > 1 links, and whether this is its first member. */
  meet(dev: bigint, ino: bigint, links: number): { group: LinkGroup; isFirst: boolean }
  /** How many members of each group were met. A group of one is no group: its other links are outside. */
  memberCounts(): Uint32Array
}

export function createLinkTable(): LinkTable {
  const open = new Map<bigint, { group: LinkGroup; missing: number }>()
  let counts = new Uint32Array(1024)
  let groups = 0
  return {
    meet(dev, ino, links) {
      const key = (dev << 64n) | ino
      const known = open.get(key)
      if (known !== undefined) {
        counts[known.group]! += 1
        known.missing -= 1
        if (known.missing <= 0) open.delete(key)
        return { group: known.group, isFirst: false }
      }
      const group = groups++
      if (group >= counts.length) {
        const larger = new Uint32Array(counts.length * 2)
        larger.set(counts)
        counts = larger
      }
      counts[group] = 1
      open.set(key, { group, missing: links - 1 })
      return { group, isFirst: true }
    },
    memberCounts: () => counts.slice(0, groups),
  }
}
