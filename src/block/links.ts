/** What a node links to, whatever it is: the values that dag-cbor tags as CIDs, in the order in which they stand. */
import { CID } from 'multiformats/cid'
import { type Cid, checkCid } from './cid.ts'
import { decodeCbor } from './codec.ts'

/** @throws MirrorError `corrupt` for what is no node of ours */
export function linksOf(node: Uint8Array): Cid[] {
  const links: Cid[] = []
  collect(decodeCbor(node, 'a node'), links)
  return links
}

/** Not deep: the decoder bounds how far lists and maps nest. */
function collect(value: unknown, links: Cid[]): void {
  const cid = CID.asCID(value)
  if (cid !== null) links.push(checkCid(cid))
  else if (Array.isArray(value)) for (const item of value) collect(item, links)
  else if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array))
    for (const item of Object.values(value)) collect(item, links)
}
