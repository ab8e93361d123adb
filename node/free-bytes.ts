import { statfsSync } from 'node:fs'

/** What is left on the disk of a folder for those who are not root; undefined when the system does not tell. */
export function readFreeBytes(dir: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(dir)
    return bavail * bsize
  } catch {
    return undefined
  }
}
