/** Paths of the API that concern one tree. Names within a tree travel percent-encoded, byte by byte. */
import { pathBytes } from '../api/path-bytes.ts'
import type { TreeSpec } from './tree-spec.ts'

export function treeUrl(
  { tree, ref, path }: TreeSpec,
  what: '' | 'entries' | 'file' | 'history' | 'diff' | 'diff-bytes' | 'place' | 'resolve' | 'takedown',
  query: Readonly<Record<string, string>> = {},
): string {
  const search = new URLSearchParams(query)
  if (ref !== undefined) search.set('ref', ref)
  const tail = what === '' ? '' : `/${what}`
  const text = [search.toString(), ...(path === undefined ? [] : [`path=${percentEncode(pathBytes(path))}`])]
    .filter(Boolean)
    .join('&')
  return `/api/v1/trees/${encodeURIComponent(tree)}${tail}${text === '' ? '' : `?${text}`}`
}

function percentEncode(bytes: Uint8Array): string {
  return [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
}
