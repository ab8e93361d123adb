/**
 * Long lists as trees of nodes, shared by directories, files and the block index.
 *
 * A list is cut after an item whose key hashes low: where it is cut depends on the keys nearby and on nothing else,
 * so a change rewrites the leaf it falls in and the branches above, and two lists that share a run share its leaves.
 * The branches above are lists too, keyed by the last key below each child, and cut the same way.
 * Minimum, maximum and a bound in bytes keep nodes of a useful size whatever the keys are; such a cut moves the next
 * ones until a low hash is met again.
 */
import type { Block } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { cidOf, DAG_CBOR } from '../block/cid.ts'
import { CborWriter } from './cbor-writer.ts'

export interface SplitRule {
  readonly minItems: number
  readonly averageItems: number
  readonly maxItems: number
  /** Bytes of encoded items after which a node is closed. */
  readonly maxBytes: number
}

/** Directories, files and every branch. */
export const NODE_SPLIT: SplitRule = { minItems: 64, averageItems: 256, maxItems: 1024, maxBytes: 256 * 1024 }

/** A finished node, as its parent will know it. */
export interface ListNode {
  readonly cid: Cid
  /** Items in all leaves below. */
  readonly items: number
  /** Sum of the items' sizes. */
  readonly sizeBytes: number
  readonly lastKey: Uint8Array
}

export interface ListFormat {
  readonly leaf: SplitRule
  /** Writes a whole node around its encoded items. */
  writeNode(writer: CborWriter, level: number, count: number, items: Uint8Array): void
  /** Writes a child as an item of the branch above. */
  writeChild(writer: CborWriter, child: ListNode): void
}

export interface ListBuilder {
  /**
   * Appends one item.
   * @param key what the cuts depend on; kept until the node is closed, so it must not change
   * @param encoded the item's bytes, copied at once
   * @param weight of so many items, where it is as long as several: it counts as that many, and is as likely to be the last
   */
  add(key: Uint8Array, sizeBytes: number, encoded: Uint8Array, weight?: number): void
  /** Closes what is open and returns the root; an empty list is one empty leaf. */
  finish(): ListNode
}

interface Level {
  readonly items: CborWriter
  count: number
  weight: number
  itemsBelow: number
  sizeBytes: number
  lastKey: Uint8Array
  closed: number
  last: ListNode | undefined
}

const NO_KEY = new Uint8Array()

/** Nodes are emitted as they close: children before parents, and in the order of the list. */
export function createListBuilder(format: ListFormat, emit: (block: Block) => void): ListBuilder {
  const levels: Level[] = []
  const scratch = new CborWriter(4096)

  function levelAt(number: number): Level {
    let level = levels[number]
    if (level === undefined) {
      level = {
        items: new CborWriter(8192),
        count: 0,
        weight: 0,
        itemsBelow: 0,
        sizeBytes: 0,
        lastKey: NO_KEY,
        closed: 0,
        last: undefined,
      }
      levels.push(level)
    }
    return level
  }

  function append(
    number: number,
    key: Uint8Array,
    itemsBelow: number,
    sizeBytes: number,
    encoded: Uint8Array,
    weight = 1,
  ): void {
    const rule = number === 0 ? format.leaf : NODE_SPLIT
    const level = levelAt(number)
    if (level.count > 0 && level.items.length + encoded.length > rule.maxBytes) close(number)
    level.items.raw(encoded)
    level.count++
    level.weight += weight
    level.itemsBelow += itemsBelow
    level.sizeBytes += sizeBytes
    level.lastKey = key
    if (
      level.weight >= rule.maxItems ||
      (level.weight >= rule.minItems && isCut(rule, number, key, weight))
    ) {
      close(number)
    }
  }

  function close(number: number): void {
    const level = levelAt(number)
    scratch.clear()
    format.writeNode(scratch, number, level.count, level.items.view())
    const bytes = scratch.copy()
    const cid = cidOf(DAG_CBOR, bytes)
    const { itemsBelow, sizeBytes, lastKey } = level
    const node: ListNode = { cid, items: itemsBelow, sizeBytes, lastKey }
    emit({ cid, bytes })
    level.items.clear()
    level.count = 0
    level.weight = 0
    level.itemsBelow = 0
    level.sizeBytes = 0
    level.closed++
    level.last = node
    scratch.clear()
    format.writeChild(scratch, node)
    append(number + 1, lastKey, itemsBelow, sizeBytes, scratch.copy())
  }

  return {
    add: (key, sizeBytes, encoded, weight) => append(0, key, 1, sizeBytes, encoded, weight),
    finish() {
      for (let number = 0; ; number++) {
        const level = levelAt(number)
        if (level.count > 0 || level.closed === 0) close(number)
        // A level of one node is the root: the branch that would hold it alone is never closed.
        if (level.closed === 1) return level.last!
      }
    },
  }
}

function isCut(rule: SplitRule, level: number, key: Uint8Array, weight: number): boolean {
  return hashKey(key, level) * (rule.averageItems - rule.minItems) < weight * 0x1_0000_0000
}

/** FNV-1a of the key from a start that depends on the level, then the finaliser of MurmurHash3: 32 even bits. */
export function hashKey(key: Uint8Array, level: number): number {
  let hash = 0x811c9dc5 ^ Math.imul(level, 0x9e3779b1)
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key[i]!, 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
