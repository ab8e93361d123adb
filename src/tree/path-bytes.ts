/** Paths as raw bytes. String APIs turn bytes that are not UTF-8 into U+FFFD, so two names could become one. */

const SLASH = Buffer.from('/')

/** `dir/name`; either alone when the other is empty. */
export function joinPath(dir: Uint8Array, name: Uint8Array): Buffer {
  if (name.length === 0) return asBuffer(dir)
  if (dir.length === 0) return asBuffer(name)
  return Buffer.concat([dir, SLASH, name])
}

/** Absolute paths only: the root directory keeps its slash. */
export function splitPath(path: Uint8Array): { dir: Buffer; name: Buffer } {
  const bytes = asBuffer(path)
  const slash = bytes.lastIndexOf(0x2f)
  return { dir: bytes.subarray(0, Math.max(1, slash)), name: bytes.subarray(slash + 1) }
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Of a relative path; empty for one of a single name. */
export function parentPath(path: Uint8Array): Buffer {
  const bytes = asBuffer(path)
  return bytes.subarray(0, Math.max(0, bytes.lastIndexOf(0x2f)))
}
