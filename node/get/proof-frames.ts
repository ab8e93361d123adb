/** The answer of a gateway to `/_mesh/proof`: for each record 4 bytes length, big-endian, and the record. */
import { MirrorError } from '../../src/base/errors.ts'
import { MAX_RECORD_BYTES } from '../../src/record/record.ts'
import { MAX_PROOF_RECORDS } from '../../src/replica/records/proof.ts'

/**
 * The records, unverified.
 * @param origin the gateway that sent them
 * @throws MirrorError `corrupt`
 */
export function framesIn(bytes: Uint8Array, origin: string): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const records: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = at + 4 <= bytes.length ? view.getUint32(at) : 0
    if (
      length === 0 ||
      length > MAX_RECORD_BYTES ||
      at + 4 + length > bytes.length ||
      records.length === MAX_PROOF_RECORDS
    ) {
      throw new MirrorError('corrupt', `${origin} sends something else than records`)
    }
    records.push(bytes.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return records
}
