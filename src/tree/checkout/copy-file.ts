/** Copies a file with its holes: only data is read and written. */
import fs from 'node:fs'
import { eachHole } from '../../posix/holes.ts'

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants
const CHUNK_BYTES = 1024 * 1024

/** `to` must not exist; it is made with mode 0600 and without any other metadata. */
export function copyFile(from: Buffer, to: Buffer): void {
  const source = fs.openSync(from, O_RDONLY | O_NOFOLLOW)
  try {
    const target = fs.openSync(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    try {
      const { size } = fs.fstatSync(source)
      fs.ftruncateSync(target, size)
      const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
      let at = 0
      eachHole(source, size, (startByte, endByte) => {
        copyRange(source, target, at, startByte, buffer)
        at = endByte
      })
      copyRange(source, target, at, size, buffer)
    } finally {
      fs.closeSync(target)
    }
  } finally {
    fs.closeSync(source)
  }
}

function copyRange(source: number, target: number, startByte: number, endByte: number, buffer: Buffer): void {
  for (let at = startByte; at < endByte; ) {
    const count = fs.readSync(source, buffer, 0, Math.min(buffer.length, endByte - at), at)
    if (count === 0) throw new RangeError('a file of a check-out shrank while it was copied')
    for (let done = 0; done < count; ) done += fs.writeSync(target, buffer, done, count - done, at + done)
    at += count
  }
}
