/** Files that are no files: fifos, sockets and device nodes. None is ever opened here. */
import { AT_FDCWD, cPath, libc, throwErrno } from './libc.ts'

const FORMATS = {
  fifo: 0o010000,
  'character-device': 0o020000,
  'block-device': 0o060000,
  socket: 0o140000,
} as const

export type SpecialType = keyof typeof FORMATS

export interface DeviceNumber {
  readonly major: number
  readonly minor: number
}

/** Made with mode 0600 and no owner but its maker. EEXIST when `path` exists; a device takes CAP_MKNOD. */
export function makeSpecial(path: Uint8Array, type: SpecialType, device: DeviceNumber): void {
  if (libc('mknodat')(AT_FDCWD, cPath(path), FORMATS[type] | 0o600, packDevice(device)) !== 0) {
    throwErrno('mknodat', path)
  }
}

/** As glibc's makedev, whose 64 bits hold 32 of each number; Linux itself takes 12 and 20. */
export function packDevice({ major, minor }: DeviceNumber): bigint {
  const [a, b] = [BigInt(major), BigInt(minor)]
  return ((a & ~0xfffn) << 32n) | ((a & 0xfffn) << 8n) | ((b & ~0xffn) << 12n) | (b & 0xffn)
}

/** @param rdev as stat tells it */
export function unpackDevice(rdev: bigint): DeviceNumber {
  return {
    major: Number(((rdev >> 32n) & 0xffff_f000n) | ((rdev >> 8n) & 0xfffn)),
    minor: Number(((rdev >> 12n) & 0xffff_ff00n) | (rdev & 0xffn)),
  }
}
