/**
 * The bytes that a path on a command line or in a JSON body means: UTF-8, except that `\xHH` is that byte and `\u{H}`
 * that character. So what `ls` prints of a name that is not plain text can be given back to `get`.
 */
import { utf8 } from '../../src/base/bytes.ts'

export function pathBytes(text: string): Uint8Array {
  return Buffer.concat(
    text.split(/(\\x[0-9a-f]{2}|\\u\{[0-9a-f]{1,6}\})/).map((part) => {
      if (/^\\x[0-9a-f]{2}$/.test(part)) return Uint8Array.of(Number.parseInt(part.slice(2), 16))
      const code = /^\\u\{([0-9a-f]{1,6})\}$/.exec(part)?.[1]
      if (code === undefined || Number.parseInt(code, 16) > 0x10ffff) return utf8(part)
      return utf8(String.fromCodePoint(Number.parseInt(code, 16)))
    }),
  )
}
