import fs from 'node:fs'

/**
 * Creates a file that is written in pieces.
 *
 * @param sizeBytes 0 for a file that grows as it is written; else all of it is a hole at first
 */
export async function createLarge(path: Buffer, flags: string, sizeBytes: number): Promise<void> {
  const file = await fs.promises.open(path, flags, 0o600)
  try {
    if (sizeBytes > 0) await file.truncate(sizeBytes)
  } finally {
    await file.close()
  }
}
