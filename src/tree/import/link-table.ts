/**
 * Hard-link groups, found by inode while the tree is scanned. An inode is forgotten once all of its links were met, so
 * memory follows the number of inodes whose links lie far apart, not the number of files: 48 to 96 bytes each, and 4 for
 * every group.
 */
import type { LinkGroup } from '../spool/spool.ts'

export interface LinkTable {
  /** The group of an inode with `links` > 1 links, and whether this is its first member. */
  meet(dev: bigint, ino: bigint, links: number): { group: LinkGroup; isFirst: boolean }
  /** How many members of each group were met. A group of one is no group: its other links are outside. */
  memberCounts(): Uint32Array
  /** Gives its memory back now: a thread with a small heap may not collect for as long as it lives. */
  close(): void
}

const FIRST_SLOTS = 1024
/** A slot that holds nothing: no inode is still without a link to be met. */
const FREE = 0

/** An open-addressing table: device, inode and what is missing in parallel arrays. */
interface Table {
  readonly slots: number
  readonly devs: BigUint64Array<ArrayBuffer>
  readonly inos: BigUint64Array<ArrayBuffer>
  readonly groups: Uint32Array<ArrayBuffer>
  readonly missing: Uint32Array<ArrayBuffer>
}

export function createLinkTable(): LinkTable {
  let table = createTable(FIRST_SLOTS)
  let open = 0
  let counts = new Uint32Array(FIRST_SLOTS)
  let groups = 0

  function grow(): void {
    const old = table
    table = createTable(old.slots * 2)
    for (let slot = 0; slot < old.slots; slot++) {
      if (old.missing[slot] !== FREE) move(old, slot, table, find(table, old.devs[slot]!, old.inos[slot]!))
    }
  }

  /** What follows in the same run of slots moves up, so that a search still ends at the first free one. */
  function remove(slot: number): void {
    open -= 1
    const mask = table.slots - 1
    let hole = slot
    for (let next = (hole + 1) & mask; table.missing[next] !== FREE; next = (next + 1) & mask) {
      const home = homeOf(table, table.devs[next]!, table.inos[next]!)
      if (((next - home) & mask) < ((next - hole) & mask)) continue
      move(table, next, table, hole)
      hole = next
    }
    table.missing[hole] = FREE
  }

  return {
    meet(dev, ino, links) {
      let slot = find(table, dev, ino)
      if (table.missing[slot] !== FREE) {
        const group = table.groups[slot]!
        counts[group]! += 1
        if (table.missing[slot] === 1) remove(slot)
        else table.missing[slot]! -= 1
        return { group, isFirst: false }
      }
      const group = groups++
      if (group >= counts.length) {
        const larger = new Uint32Array(counts.length * 2)
        larger.set(counts)
        counts = larger
      }
      counts[group] = 1
      if (links > 1) {
        if (2 * open >= table.slots) {
          grow()
          slot = find(table, dev, ino)
        }
        open += 1
        table.devs[slot] = dev
        table.inos[slot] = ino
        table.groups[slot] = group
        table.missing[slot] = links - 1
      }
      return { group, isFirst: true }
    },
    memberCounts: () => counts.slice(0, groups),
    close() {
      for (const { buffer } of [table.devs, table.inos, table.groups, table.missing, counts])
        buffer.transfer(0)
    },
  }
}

function createTable(slots: number): Table {
  return {
    slots,
    devs: new BigUint64Array(slots),
    inos: new BigUint64Array(slots),
    groups: new Uint32Array(slots),
    missing: new Uint32Array(slots),
  }
}

/** Where the inode is, or the free slot where it belongs. */
function find(table: Table, dev: bigint, ino: bigint): number {
  let slot = homeOf(table, dev, ino)
  while (table.missing[slot] !== FREE && !(table.inos[slot] === ino && table.devs[slot] === dev))
    slot = (slot + 1) & (table.slots - 1)
  return slot
}

function move(from: Table, slot: number, to: Table, target: number): void {
  to.devs[target] = from.devs[slot]!
  to.inos[target] = from.inos[slot]!
  to.groups[target] = from.groups[slot]!
  to.missing[target] = from.missing[slot]!
}

/** The finaliser of MurmurHash3: inode numbers come in rows. */
function homeOf({ slots }: Table, dev: bigint, ino: bigint): number {
  let hash = Number(BigInt.asUintN(32, ino ^ (ino >> 32n) ^ (dev * 0x9e3779b1n)))
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) & (slots - 1)
}
