/** Puts the names that the plan noted and the states that the threads noted together as the manifest of a check-out. */
import fs from 'node:fs'
import type { ManifestHead, ManifestKind } from '../manifest/checkout-manifest.ts'
import { createManifestWriter, ENTRY_DIGEST_BYTES, FILE } from '../manifest/checkout-manifest.ts'
import { FILE_STATE_BYTES, forgetTaken } from '../manifest/file-state.ts'
import { asBuffer } from '../path-bytes.ts'
import { createRecordReader } from '../spool/record-bytes.ts'

export interface ManifestParts {
  readonly path: Buffer
  readonly head: ManifestHead
  readonly namesFd: number
  readonly namesBytes: number
  readonly stateFd: number
}

export function writeManifest({ path, head, namesFd, namesBytes, stateFd }: ManifestParts): void {
  const fd = fs.openSync(path, 'wx', 0o600)
  try {
    const out = createManifestWriter(fd, head)
    const names = createRecordReader(namesFd, 0, namesBytes)
    // The states of the last files are missing where nothing is vouched for.
    const stateBytes = fs.fstatSync(stateFd).size
    const states = createRecordReader(stateFd, 0, stateBytes)
    let statesLeft = stateBytes / FILE_STATE_BYTES
    while (!names.isAtEnd) {
      const kind = names.u8() as ManifestKind
      const at = asBuffer(names.bytes(names.u16()))
      if (kind !== FILE) {
        out.add({ kind, path: at })
        continue
      }
      const digest = asBuffer(names.bytes(ENTRY_DIGEST_BYTES))
      const state = statesLeft-- > 0 ? states.view(FILE_STATE_BYTES) : Buffer.alloc(FILE_STATE_BYTES)
      forgetTaken(state)
      out.add({ kind, path: at, digest, state })
    }
    out.end()
  } finally {
    fs.closeSync(fd)
  }
}
