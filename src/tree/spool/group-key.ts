/**
 * What the names of one hard-link group have in common in a snapshot: content, size and metadata. A tree that says
 * otherwise gets files of their own.
 */
import { cidKey } from '../../block/cid.ts'
import type { LinkableEntry } from '../../dag/entry.ts'

export function groupKey(entry: LinkableEntry): string {
  const { type, mode, mtimeSec, mtimeNsec, uid, gid, xattrBlock } = entry
  const link = Buffer.from(entry.link ?? []).toString('latin1')
  const block = xattrBlock === undefined ? '' : cidKey(xattrBlock)
  const xattrs = (entry.xattrs ?? [])
    .flatMap(({ name, value }) => [name, value])
    .map((bytes) => `${bytes.length}:${Buffer.from(bytes).toString('latin1')}`)
    .join('')
  return `${link}${type}${mode},${mtimeSec},${mtimeNsec},${uid},${gid},${contentKey(entry)},${block}${xattrs}`
}

function contentKey(entry: LinkableEntry): string {
  switch (entry.type) {
    case 'file':
      return `${entry.content === undefined ? '' : cidKey(entry.content)}${entry.sizeBytes},${entry.holes ?? ''}`
    case 'symlink':
      return Buffer.from(entry.target).toString('latin1')
    case 'block-device':
    case 'character-device':
      return `${entry.major}:${entry.minor}`
    case 'fifo':
    case 'socket':
      return ''
  }
}
