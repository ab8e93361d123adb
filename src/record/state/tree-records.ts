/** All kept records about one tree, filed so that its state can be worked out. No judgement here. */
import { cidKey } from '../../block/cid.ts'
import type { EncodingsBody } from '../kinds/encodings.ts'
import type { EpochBody } from '../kinds/epoch.ts'
import type { HeadBody } from '../kinds/head.ts'
import type { TagBody } from '../kinds/tag.ts'
import type { TreeBody } from '../kinds/tree.ts'
import type { VerifiedRecord } from '../record.ts'
import { pushTo } from './chains.ts'

export interface Said<Body> {
  readonly record: VerifiedRecord
  readonly body: Body
}

export interface TreeRecords {
  readonly name: string
  readonly trees: Said<TreeBody>[]
  /** By key of `previous`, '' for none. */
  readonly epochs: Map<string, Said<EpochBody>[]>
  /** By key of `previous`, '' for none. */
  readonly heads: Map<string, Said<HeadBody>[]>
  readonly tags: Map<string, Said<TagBody>[]>
  /** By key of the snapshot. */
  readonly encodings: Map<string, Said<EncodingsBody>[]>
}

export function createTreeRecords(name: string): TreeRecords {
  return { name, trees: [], epochs: new Map(), heads: new Map(), tags: new Map(), encodings: new Map() }
}

/** The tree that a record is about. */
export function treeOf({ content }: VerifiedRecord): string | undefined {
  switch (content.kind) {
    case 'tree':
      return content.body.name
    case 'epoch':
    case 'head':
    case 'tag':
    case 'encodings':
      return content.body.tree
    default:
      return undefined
  }
}

export function fileTreeRecord(records: TreeRecords, record: VerifiedRecord): void {
  const { content } = record
  if (content.kind === 'tree') records.trees.push({ record, body: content.body })
  if (content.kind === 'epoch')
    pushTo(records.epochs, placeAfter(content.body.previous), { record, body: content.body })
  if (content.kind === 'head')
    pushTo(records.heads, placeAfter(content.body.previous), { record, body: content.body })
  if (content.kind === 'encodings')
    pushTo(records.encodings, cidKey(content.body.snapshot), { record, body: content.body })
  if (content.kind === 'tag') pushTo(records.tags, content.body.tag, { record, body: content.body })
}

export function placeAfter(previous: EpochBody['previous']): string {
  return previous === null ? '' : cidKey(previous)
}
