/**
 * Refuses writes while the disk still has room: a full disk would stop the index and the records as well. The file
 * system is asked once per `stepBytes` taken, not once per write.
 */
import { asMirrorError, MirrorError } from '../base/errors.ts'
import type { FileOps } from './files.ts'

export interface FreeSpace {
  /** @throws MirrorError `no-space` when less than the reserve would stay free */
  take(sizeBytes: number): Promise<void>
}

export function createFreeSpace(
  { files }: { readonly files: FileOps },
  {
    dir,
    reserveBytes,
    stepBytes = 16 * 1024 * 1024,
  }: { readonly dir: string; readonly reserveBytes: number; readonly stepBytes?: number },
): FreeSpace {
  let grantedBytes = 0

  return {
    async take(sizeBytes) {
      if (sizeBytes > grantedBytes) {
        let freeBytes: number
        try {
          freeBytes = await files.freeBytes(dir)
        } catch (error) {
          throw asMirrorError(error, `free space of ${dir}`)
        }
        const spareBytes = freeBytes - reserveBytes - sizeBytes
        if (spareBytes < 0) {
          throw new MirrorError(
            'no-space',
            `${dir} has ${freeBytes} bytes free, and ${reserveBytes} are kept free`,
            {
              facts: { dir, freeBytes, reserveBytes, neededBytes: sizeBytes },
              hint: 'Free some space on that disk; nothing that is stored was harmed.',
            },
          )
        }
        grantedBytes = sizeBytes + Math.min(spareBytes, stepBytes)
      }
      grantedBytes -= sizeBytes
    },
  }
}
