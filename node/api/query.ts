/**
 * Query strings and bodies, read with care: paths within trees are bytes that need not be UTF-8, which the usual
 * parsers would mangle.
 */
import { decodeUtf8 } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'

export interface Query {
  text(name: string): string
  optionalText(name: string): string | undefined
  /** The percent-decoded bytes; empty when absent. */
  bytes(name: string): Uint8Array
}

/** @param url the request's target, path included */
export function readQuery(url: string): Query {
  const values = readRawQuery(url)
  const optionalText = (name: string): string | undefined => {
    const bytes = values.get(name)
    if (bytes === undefined) return undefined
    const text = decodeUtf8(bytes)
    if (text === undefined) throw new MirrorError('invalid', `${name} is not UTF-8`)
    return text
  }
  return {
    optionalText,
    text(name) {
      const text = optionalText(name)
      if (text === undefined || text === '') throw new MirrorError('invalid', `the query lacks ${name}`)
      return text
    },
    bytes: (name) => values.get(name) ?? new Uint8Array(),
  }
}

/** The percent-decoded bytes by name. */
export function readRawQuery(url: string): Map<string, Uint8Array> {
  const at = url.indexOf('?')
  const values = new Map<string, Uint8Array>()
  for (const pair of at < 0 ? [] : url.slice(at + 1).split('&')) {
    const equals = pair.indexOf('=')
    if (equals > 0) values.set(pair.slice(0, equals), percentDecode(pair.slice(equals + 1)))
  }
  return values
}

export function percentDecode(text: string): Uint8Array {
  const bytes: number[] = []
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x25) {
      const hexDigits = text.slice(i + 1, i + 3)
      if (!/^[0-9a-fA-F]{2}$/.test(hexDigits))
        throw new MirrorError('invalid', 'a % is not followed by two hex digits')
      bytes.push(Number.parseInt(hexDigits, 16))
      i += 2
    } else if (code === 0x2b) bytes.push(0x20)
    else if (code < 0x80) bytes.push(code)
    else throw new MirrorError('invalid', 'the query is not ASCII')
  }
  return Uint8Array.from(bytes)
}

/** The names of a path; slashes at either end and doubled ones do not matter. */
export function splitPath(path: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = []
  let start = 0
  for (let i = 0; i <= path.length; i++) {
    if (i < path.length && path[i] !== 0x2f) continue
    if (i > start) names.push(path.slice(start, i))
    start = i + 1
  }
  return names
}
