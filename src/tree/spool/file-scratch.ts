/** Temporary storage in files without names: whatever kills the process, nothing is left behind. */
import fs from 'node:fs'
import type { Scratch } from '../../dag/scratch.ts'
import { openUnnamedFile } from './record-bytes.ts'

/** @param dir exists; files are made in it only once something does not fit in memory */
export function createFileScratch(dir: string): Scratch {
  return {
    open() {
      const fd = openUnnamedFile(dir, 'scratch')
      let sizeBytes = 0
      return {
        get sizeBytes() {
          return sizeBytes
        },
        append(bytes) {
          for (let done = 0; done < bytes.length; )
            done += fs.writeSync(fd, bytes, done, bytes.length - done, sizeBytes + done)
          sizeBytes += bytes.length
        },
        read(position, into) {
          for (let done = 0; done < into.length; ) {
            const count = fs.readSync(fd, into, done, into.length - done, position + done)
            if (count === 0) throw new RangeError(`${into.length} bytes from ${position} of ${sizeBytes}`)
            done += count
          }
        },
        close: () => fs.closeSync(fd),
      }
    },
  }
}
