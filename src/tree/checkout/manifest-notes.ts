/** The plan's part of a manifest's records (write-manifest.ts): names in walk order, and of files what their entries are. */
import { blake3 } from '../../block/hash.ts'
import { CborWriter } from '../../dag/cbor-writer.ts'
import type { Entry } from '../../dag/entry.ts'
import { writeEntry } from '../../dag/entry.ts'
import { DIRECTORY, FILE, OTHER } from '../manifest/checkout-manifest.ts'
import type { RecordWriter } from '../spool/record-bytes.ts'

/** The entry as a directory holds it: name, metadata, and content by its CID. */
export function createEntryDigest(): (entry: Entry) => Uint8Array {
  const writer = new CborWriter(1024)
  return (entry) => {
    writer.clear()
    writeEntry(writer, entry)
    return blake3.digest(writer.view())
  }
}

/** Files come in the order of their slots. */
export function noteName(
  names: RecordWriter,
  type: Entry['type'],
  path: Uint8Array,
  digest?: Uint8Array,
): void {
  names.u8(type === 'directory' ? DIRECTORY : type === 'file' ? FILE : OTHER)
  names.u16(path.length)
  names.bytes(path)
  if (digest !== undefined) names.bytes(digest)
}
