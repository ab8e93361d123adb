/**
 * Temporary storage for what does not fit in memory, as a port: this layer touches no disk. src/tree/spool/file-scratch.ts
 * keeps it in files without names.
 */
export interface Scratch {
  open(): ScratchFile
}

/** Bytes that are appended, read back and given up. Nothing outlives the process. */
export interface ScratchFile {
  readonly sizeBytes: number
  append(bytes: Uint8Array): void
  /** Fills `into` with the bytes from `position` on, which were all appended before. */
  read(position: number, into: Uint8Array): void
  /** Gives the space back. */
  close(): void
}

/** For trees that are known to be small, and for tests. */
export function createMemoryScratch(): Scratch {
  return {
    open() {
      let held = new Uint8Array(1024)
      let sizeBytes = 0
      return {
        get sizeBytes() {
          return sizeBytes
        },
        append(bytes) {
          if (sizeBytes + bytes.length > held.length) {
            const larger = new Uint8Array(2 * (sizeBytes + bytes.length))
            larger.set(held.subarray(0, sizeBytes))
            held = larger
          }
          held.set(bytes, sizeBytes)
          sizeBytes += bytes.length
        },
        read(position, into) {
          if (position < 0 || position + into.length > sizeBytes)
            throw new RangeError(`${into.length} bytes from ${position} of ${sizeBytes}`)
          into.set(held.subarray(position, position + into.length))
        },
        close() {
          held = new Uint8Array()
          sizeBytes = 0
        },
      }
    },
  }
}
