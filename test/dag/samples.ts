/** One node of each kind, the same on every machine: for golden files and as seeds of mutated bytes. */
import { utf8 } from '../../src/base/bytes.ts'
import type { Block } from '../../src/block/block.ts'
import { cidOf, DAG_CBOR, RAW } from '../../src/block/cid.ts'
import { createBlockIndexBuilder } from '../../src/dag/block-index.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import type { DeltaEntry, Encodings } from '../../src/dag/encodings.ts'
import { encodeEncodings, encodePlan } from '../../src/dag/encodings.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { buildFile } from '../../src/dag/file.ts'
import type { Snapshot } from '../../src/dag/snapshot.ts'
import { encodeSnapshot } from '../../src/dag/snapshot.ts'
import type { Xattr } from '../../src/dag/xattrs.ts'
import { placeXattrs } from '../../src/dag/xattrs.ts'
import { chunkCid, META, numberedFiles } from './trees.ts'

export const SAMPLE_ENTRIES: readonly Entry[] = [
  { type: 'file', name: utf8('empty'), sizeBytes: 0, ...META },
  {
    type: 'file',
    name: Uint8Array.of(0x66, 0xff),
    sizeBytes: 2 ** 33,
    content: cidOf(DAG_CBOR, utf8('node')),
    link: utf8('8 bytes!'),
    mode: 0o4755,
    mtimeSec: -2,
    mtimeNsec: 999_999_999,
    uid: 1000,
    gid: 0xffff_ffff,
    user: 'Jörg',
    group: 'wheel',
  },
  { type: 'symlink', name: utf8('link'), target: utf8('../elsewhere'), ...META },
  { type: 'directory', name: utf8('sub'), directory: cidOf(DAG_CBOR, utf8('directory')), ...META },
]

/** Types and attributes that came later: appended, so that what was golden stays. */
export const LATER_ENTRIES: readonly Entry[] = [
  { type: 'block-device', name: utf8('a-disk'), major: 259, minor: 300_000, ...META, mode: 0o660 },
  { type: 'character-device', name: utf8('b-null'), major: 1, minor: 3, link: utf8('8 bytes!'), ...META },
  { type: 'fifo', name: utf8('c-pipe'), ...META },
  { type: 'socket', name: utf8('d-socket'), ...META, xattrBlock: cidOf(DAG_CBOR, utf8('attributes')) },
  {
    type: 'file',
    name: utf8('e-sparse'),
    sizeBytes: 10_000_000,
    content: cidOf(DAG_CBOR, utf8('node')),
    holes: [0, 4096, 65_536, 1_048_576, 9_998_336, 1664],
    ...META,
  },
  {
    type: 'directory',
    name: utf8('f-tagged'),
    directory: cidOf(DAG_CBOR, utf8('directory')),
    ...META,
    xattrs: [
      { name: utf8('system.posix_acl_default'), value: Uint8Array.of(2, 0, 0, 0) },
      { name: utf8('user.\u00fc'), value: new Uint8Array() },
    ],
  },
]

/** A file that lies in its directory. */
export function inlineFile(name: string, inline: Uint8Array): Entry {
  return {
    type: 'file',
    name: utf8(name),
    sizeBytes: inline.length,
    content: cidOf(RAW, inline),
    inline,
    ...META,
  }
}

export const INLINE_ENTRY = inlineFile('small', utf8('contents of a small file\n'))

export const LARGE_XATTRS: readonly Xattr[] = [
  { name: utf8('security.capability'), value: Uint8Array.of(1, 0, 0, 2) },
  { name: utf8('user.large'), value: new Uint8Array(1024).fill(7) },
]

export const SAMPLE_SNAPSHOT: Snapshot = {
  tree: 'builds/rhel-9/nightly',
  root: { type: 'directory', name: new Uint8Array(), directory: cidOf(DAG_CBOR, utf8('root')), ...META },
  index: cidOf(DAG_CBOR, utf8('index')),
  parent: cidOf(DAG_CBOR, utf8('parent')),
  createdMs: 1_700_000_000_123,
  chunker: { kind: 'gear64', minBytes: 32_768, avgBytes: 131_072, maxBytes: 524_288 },
  counts: { files: 3, directories: 2, symlinks: 1, bytes: 123_456, blocks: 9, blockBytes: 130_000 },
  uncaptured: { count: 2, first: [{ path: 'run/socket', reason: 'a socket' }] },
  notes: { build: '1234', 'Built-By': 'Jörg', a: '' },
}

export const SAMPLE_ENCODINGS: Encodings = {
  tree: 'builds/nightly',
  snapshot: cidOf(DAG_CBOR, utf8('snapshot')),
  base: cidOf(DAG_CBOR, utf8('parent')),
  index: cidOf(DAG_CBOR, utf8('index of deltas')),
  plan: [cidOf(DAG_CBOR, utf8('plan 0')), cidOf(DAG_CBOR, utf8('plan 1'))],
  decided: 70_000,
}

export const SAMPLE_PLAN: readonly DeltaEntry[] = [
  { targets: [{ first: 0, count: 16 }], base: [{ first: 23, count: 17 }] },
  {
    targets: [
      { first: 16, count: 1 },
      { first: 2 ** 40, count: 24 },
    ],
    base: [
      { first: 65_536, count: 256 },
      { first: 7, count: 3 },
    ],
  },
]

export interface Sample {
  readonly name: string
  readonly kind: 'dir' | 'file' | 'index' | 'snapshot' | 'xattrs' | 'encodings' | 'plan'
  readonly block: Block
}

export function sampleBlocks(): Sample[] {
  const samples: Sample[] = []
  const keep =
    (name: string, kind: Sample['kind']) =>
    (block: Block): void => {
      samples.push({
        name: `${name} ${samples.filter((other) => other.name.startsWith(name)).length}`,
        kind,
        block,
      })
    }
  buildDirectory([], keep('empty directory', 'dir'))
  buildDirectory(SAMPLE_ENTRIES, keep('directory', 'dir'))
  buildDirectory(numberedFiles(1000), keep('long directory', 'dir'))
  const parts = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ cid: chunkCid(i), lengthBytes: 1 + i * 7 }))
  buildFile(parts(3), keep('file', 'file'))
  buildFile(parts(1000), keep('long file', 'file'))
  const small = createBlockIndexBuilder(keep('index', 'index'))
  for (const { cid, lengthBytes } of parts(3)) small.add(cid, lengthBytes)
  small.finish()
  const large = createBlockIndexBuilder(keep('long index', 'index'))
  for (const { cid, lengthBytes } of parts(3000)) large.add(cid, lengthBytes)
  large.finish()
  keep('snapshot', 'snapshot')(encodeSnapshot(SAMPLE_SNAPSHOT))
  buildDirectory(LATER_ENTRIES, keep('later entries', 'dir'))
  placeXattrs(LARGE_XATTRS, keep('xattrs', 'xattrs'))
  const { counts } = SAMPLE_SNAPSHOT
  const withSpecials = { ...SAMPLE_SNAPSHOT, counts: { ...counts, specials: 4 } }
  keep('counted specials', 'snapshot')(encodeSnapshot(withSpecials))
  keep('snapshot', 'snapshot')(encodeSnapshot({ ...SAMPLE_SNAPSHOT, ignore: ['*.tmp', '!/kept.tmp'] }))
  keep('encodings', 'encodings')(encodeEncodings(SAMPLE_ENCODINGS))
  keep('plan', 'plan')(encodePlan(SAMPLE_PLAN))
  const { chunker } = SAMPLE_SNAPSHOT
  const withInline = { ...SAMPLE_SNAPSHOT, chunker: { ...chunker, inlineBytes: 4096 } }
  keep('small files inline', 'snapshot')(encodeSnapshot(withInline))
  const smalls = Array.from({ length: 300 }, (_, i) =>
    inlineFile(`${1000 + i}`, new Uint8Array(1 + ((i * 37) % 4096)).fill(i)),
  )
  buildDirectory(smalls, keep('directory of small files', 'dir'))
  return samples
}
