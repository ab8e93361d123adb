/** From a stat with nanoseconds to what entries keep of it. */
import type fs from 'node:fs'
import type { Inode } from './spool.ts'

const NSEC_PER_SEC = 1_000_000_000n

export function inodeOf(stat: fs.BigIntStats): Inode {
  let sec = stat.mtimeNs / NSEC_PER_SEC
  let nsec = stat.mtimeNs % NSEC_PER_SEC
  if (nsec < 0n) {
    sec -= 1n
    nsec += NSEC_PER_SEC
  }
  return {
    mode: Number(stat.mode) & 0o7777,
    mtimeSec: Number(sec),
    mtimeNsec: Number(nsec),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
  }
}

/** Nanoseconds since 1970. */
export function mtimeNsOf({ mtimeSec, mtimeNsec }: { mtimeSec: number; mtimeNsec: number }): bigint {
  return BigInt(mtimeSec) * NSEC_PER_SEC + BigInt(mtimeNsec)
}
