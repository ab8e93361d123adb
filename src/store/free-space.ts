/**
 * Refuses writes while the disk still has room: a full disk would stop the index and the records as well. The file
 * system is asked once per `stepBytes` taken, not once per write.
 */
import { formatBytes } from '../base/byte-size.ts'
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
    makeRoom,
  }: {
    readonly dir: string
    readonly reserveBytes: number
    readonly stepBytes?: number
    /** Gives up what may go on the same disk, so many bytes at least as far as there are. Returns how many it gave up. */
    readonly makeRoom?: ((sizeBytes: number) => number) | undefined
  },
): FreeSpace {
  let grantedBytes = 0

  async function askFreeBytes(): Promise<number> {
    try {
      return await files.freeBytes(dir)
    } catch (error) {
      throw asMirrorError(error, `free space of ${dir}`)
    }
  }

  return {
    async take(sizeBytes) {
      if (sizeBytes > grantedBytes) {
        let freeBytes = await askFreeBytes()
        const lackBytes = reserveBytes + sizeBytes - freeBytes
        if (lackBytes > 0 && makeRoom !== undefined && makeRoom(lackBytes + stepBytes) > 0) {
          freeBytes = await askFreeBytes()
        }
        const spareBytes = freeBytes - reserveBytes - sizeBytes
        if (spareBytes < 0) {
          throw new MirrorError(
            'no-space',
            `${dir} has ${formatBytes(freeBytes)} free, and ${formatBytes(reserveBytes)} are kept free`,
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
