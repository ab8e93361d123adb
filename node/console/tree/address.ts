/** Addresses of the API and of this console that concern one tree. Names within a tree are bytes, percent-encoded. */
import type { EntryLine } from '../../api/answers.ts'
import { fromBase64 } from '../signing/encode.ts'

/** @param path of bytes, percent-encoded, slashes as they are */
export function treePath(
  tree: string,
  what: string,
  query: Readonly<Record<string, string>> = {},
  path?: string,
): string {
  const text = [
    new URLSearchParams(query).toString(),
    ...(path === undefined || path === '' ? [] : [`path=${path}`]),
  ]
    .filter((each) => each !== '')
    .join('&')
  const end = what === '' ? '' : `/${what}`
  return `/api/v1/trees/${encodeURIComponent(tree)}${end}${text === '' ? '' : `?${text}`}`
}

/** The entry's name below the folder `path`, percent-encoded. */
export function childPath(
  path: string,
  { path: name, rawPath }: Pick<EntryLine, 'path' | 'rawPath'>,
): string {
  const bytes = rawPath === undefined ? new TextEncoder().encode(name) : fromBase64(rawPath)
  const encoded = [...bytes]
    .map((byte) => (byte === 0x2f ? '/' : `%${byte.toString(16).padStart(2, '0')}`))
    .join('')
  return path === '' ? encoded : `${path}/${encoded}`
}

/** For the eye: what is not UTF-8 shows as its escape. */
export function pathText(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
