/** Comparing, joining and printing bytes. Everything here is pure; a Uint8Array is never written to. */

/** Lexicographic order of unsigned bytes; a prefix sorts first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): -1 | 0 | 1 {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = a[i]! - b[i]!
    if (difference !== 0) return difference < 0 ? -1 : 1
  }
  return a.length === b.length ? 0 : a.length < b.length ? -1 : 1
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const whole = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}

const encoder = new TextEncoder()
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** The text that `bytes` spell in UTF-8, or undefined when they are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(bytes)
  } catch {
    return undefined
  }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/**
 * A printable form of any name or path: UTF-8 stays; controls (C0, C1, DEL), the backslash, bidirectional
 * overrides and bytes that are not UTF-8 become `\xHH` or `\u{H}`. For logs, terminals and JSON: what comes from
 * a tree is never printed raw.
 */
export function printableName(bytes: Uint8Array): string {
  const text = decodeUtf8(bytes)
  if (text === undefined) {
    let out = ''
    for (const byte of bytes) {
      out +=
        byte > 0x1f && byte < 0x7f && byte !== 0x5c
          ? String.fromCharCode(byte)
          : `\\x${byte.toString(16).padStart(2, '0')}`
    }
    return out
  }
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\\\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    escapeCharacter,
  )
}

/**
 * What somebody else wrote, as one line: controls, ends of lines and bidirectional overrides become `\xHH` or `\u{H}`. Where a
 * member says of itself how it is, an end of line would be another member's line in a table.
 */
export function printableText(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, escapeCharacter)
}

function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0)
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
}
