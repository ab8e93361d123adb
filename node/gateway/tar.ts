/**
 * A folder of a snapshot as a tar archive (POSIX.1-2001, the pax interchange format), made as it is sent.
 *
 *   entry    a header (tar-header.ts): name, mode, owner, size, time to the nanosecond, type, link name, device numbers
 *   content  the file's bytes, padded with zeros to 512; of a file with holes its data alone (tar-sparse.ts)
 *   end      two blocks of zeros
 *
 * Names are relative to the folder, which itself is not in the archive: unpacking makes the folder's content, and changes nothing of
 * the folder that it is unpacked in. The bytes are a function of the folder's CID. Hard links are links to the first name, for the first
 * MAX_LINK_GROUPS groups; the others are copies. Extended attributes are kept (tar-xattrs.ts). A socket has no form in a tar archive,
 * and is left out.
 *
 * Bounded: one header at a time, with the attributes of one entry; the steps by what the snapshot counts, for a folder may name
 * another a million times.
 */
import { concatBytes, hex } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import type { DirectoryEntry, Entry, FileEntry } from '../../src/dag/entry.ts'
import { type NodeSource, walk } from '../../src/dag/reader.ts'
import { loadXattrs } from '../../src/dag/xattrs.ts'
import type { ReadFile } from './file-response.ts'
import { TAR_END, tarHeader, tarPadding } from './tar-header.ts'
import { sparseFile } from './tar-sparse.ts'
import { xattrRecords } from './tar-xattrs.ts'

const MAX_LINK_GROUPS = 65_536
const SLASH = Uint8Array.of(0x2f)
const NOTHING = new Uint8Array(0)

export interface TarOptions {
  /** More are refused by breaking off: the archive then has no end, and every reader says so. */
  readonly maxEntries: number
  /** Holes are left out, in the form of GNU tar; otherwise they are zeros, which every reader of tar knows. */
  readonly hasHoles: boolean
  readonly signal: AbortSignal
}

export async function* tarOf(
  { blocks, readFile }: { readonly blocks: NodeSource; readonly readFile: ReadFile },
  folder: DirectoryEntry,
  { maxEntries, hasHoles, signal }: TarOptions,
): AsyncGenerator<Uint8Array> {
  const linked = new Map<string, Uint8Array>()
  let entries = 0
  for await (const { path, entry } of walk(blocks, folder, signal)) {
    if (path.length === 0) continue
    if (++entries > maxEntries)
      throw new MirrorError('limit', 'the folder has more entries than its snapshot')
    if (entry.type === 'socket') continue
    const name = nameOf(path, entry)
    const group = entry.type === 'directory' || entry.link === undefined ? undefined : hex(entry.link)
    const first = group === undefined ? undefined : linked.get(group)
    if (first !== undefined) {
      yield tarHeader(entry, { name, type: '1', linkName: first, sizeBytes: 0, more: [] })
      continue
    }
    if (group !== undefined && linked.size < MAX_LINK_GROUPS) linked.set(group, name)
    const more = xattrRecords((await loadXattrs(blocks, entry, signal)).xattrs)
    if (entry.type === 'file') yield* fileOf(entry, name, more)
    else
      yield tarHeader(entry, { name, type: TYPES[entry.type], linkName: targetOf(entry), sizeBytes: 0, more })
  }
  yield TAR_END

  async function* fileOf(
    entry: FileEntry,
    name: Uint8Array,
    more: ReturnType<typeof xattrRecords>,
  ): AsyncGenerator<Uint8Array> {
    const { sizeBytes } = entry
    const heading = { type: '0', linkName: NOTHING }
    const sparse = hasHoles ? await sparseFile(blocks, entry, name, signal) : undefined
    if (sparse === undefined) {
      yield tarHeader(entry, { ...heading, name, sizeBytes, more })
      yield* readFile(entry, { startByte: 0, endByte: sizeBytes }, signal)
      yield tarPadding(sizeBytes)
      return
    }
    yield tarHeader(entry, {
      ...heading,
      name: sparse.headerName,
      isNamedInMore: true,
      sizeBytes: sparse.sizeBytes,
      more: [...sparse.records, ...more],
    })
    yield sparse.map
    for (const range of sparse.segments)
      if (range.endByte > range.startByte) yield* readFile(entry, range, signal)
    yield tarPadding(sparse.sizeBytes)
  }
}

const TYPES: Readonly<Record<Exclude<Entry['type'], 'socket' | 'file'>, string>> = {
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
}

/** With a slash behind a folder's name. */
function nameOf(path: readonly Uint8Array[], entry: Entry): Uint8Array {
  const parts = path.flatMap((name, at) => (at === 0 ? [name] : [SLASH, name]))
  return concatBytes(entry.type === 'directory' ? [...parts, SLASH] : parts)
}

function targetOf(entry: Entry): Uint8Array {
  return entry.type === 'symlink' ? entry.target : NOTHING
}
