/** What a tree's next record says where nobody wants it otherwise: all that the one before said. */
import { publicKeyOf } from '../../src/record/key.ts'
import type { TreeBody } from '../../src/record/kinds/tree.ts'
import type { TreeDocument } from '../api/answers.ts'

export function bodyOfTree(
  { tree, readers, publishers, kind, gate, keep }: TreeDocument,
  version: number,
): TreeBody {
  return {
    name: tree,
    readers,
    publishers: publishers.map((each) => publicKeyOf(each)),
    ...(kind === 'simple' ? {} : { kind }),
    ...(gate === null ? {} : { gate }),
    ...(keep === null ? {} : { keep }),
    version,
    removed: false,
  }
}
