/** The readers of fields (src/base/fields.ts), and those for fields that only records have: CIDs. */
import { type Fields, wrong } from '../base/fields.ts'
import { type Cid, checkCid } from '../block/cid.ts'

export * from '../base/fields.ts'

export function readCid(fields: Fields, name: string): Cid {
  try {
    return checkCid(fields[name])
  } catch (error) {
    throw wrong(name, 'is not a CID', error)
  }
}

export function readCidOrNull(fields: Fields, name: string): Cid | null {
  return fields[name] === null ? null : readCid(fields, name)
}
