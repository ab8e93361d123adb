/**
 * Writes bytes of a file over themselves, so that the next sync is sure to cover them. After a failed fdatasync Linux
 * keeps the pages in its cache as if they were clean: a program that starts again in the same boot reads them, syncs
 * with success, and still loses them with the power (Rebello et al., "Can Applications Recover from fsync Failures?",
 * USENIX ATC 2020). What may have been written by a run that ended badly is therefore never trusted to be on disk.
 */
import type { StoreFile } from '../files.ts'

const PIECE_BYTES = 1024 * 1024

/** A crash in between leaves the same bytes. */
export async function rewriteInPlace(file: StoreFile, startOffset: number, endOffset: number): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, Math.max(0, endOffset - startOffset)))
  for (let at = startOffset; at < endOffset; ) {
    const piece = buffer.subarray(0, Math.min(buffer.length, endOffset - at))
    const count = await file.read(piece, at)
    if (count === 0) return
    file.write(piece.subarray(0, count), at)
    at += count
  }
}
