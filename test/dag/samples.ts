/** One node of each kind, the same on every machine: for golden files and as seeds of mutated bytes. */
import { utf8 } from '../../src/base/bytes.ts'
import type { Block } from '../../src/block/block.ts'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { createBlockIndexBuilder } from '../../src/dag/block-index.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { buildFile } from '../../src/dag/file.ts'
import type { Snapshot } from '../../src/dag/snapshot.ts'
import { encodeSnapshot } from '../../src/dag/snapshot.ts'
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

export const SAMPLE_SNAPSHOT: Snapshot = {
  tree: 'builds/rhel-9/nightly',
  root: { type: 'directory', name: new Uint8Array(), directory: cidOf(DAG_CBOR, utf8('root')), ...META },
  index: cidOf(DAG_CBOR, utf8('index')),
  parent: cidOf(DAG_CBOR, utf8('parent')),
  createdMs: 1_700_000_000_123,
  chunker: DEFAULT_CHUNKER,
  counts: { files: 3, directories: 2, symlinks: 1, bytes: 123_456, blocks: 9, blockBytes: 130_000 },
  uncaptured: { count: 2, first: [{ path: 'run/socket', reason: 'a socket' }] },
  notes: { build: '1234', 'Built-By': 'Jörg', a: '' },
}

export interface Sample {
  readonly name: string
  readonly kind: 'dir' | 'file' | 'index' | 'snapshot'
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
  keep('snapshot', 'snapshot')(encodeSnapshot({ ...SAMPLE_SNAPSHOT, ignore: ['*.tmp', '!/kept.tmp'] }))
  return samples
}
