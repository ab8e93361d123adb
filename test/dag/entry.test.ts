import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../../src/base/bytes.ts'
import type { ErrorCode } from '../../src/base/errors.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { cidOf, DAG_CBOR, RAW } from '../../src/block/cid.ts'
import { decodeCbor, encodeCbor } from '../../src/block/codec.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { checkName, decodeEntry, encodeEntry } from '../../src/dag/entry.ts'
import type { Xattr } from '../../src/dag/xattrs.ts'
import { chunkCid, entries, META } from './trees.ts'

const throwsWith = (code: ErrorCode, task: () => unknown, message?: string): void =>
  assert.throws(task, (error) => isMirrorError(error, code), message)

test('every entry survives its encoding, which is canonical dag-cbor', () => {
  fc.assert(
    fc.property(entries, (entry) => {
      const bytes = encodeEntry(entry)
      assert.deepEqual(decodeEntry(bytes), entry)
      assert.deepEqual(encodeCbor(decodeCbor(bytes, 'entry')), bytes)
    }),
    { numRuns: 300 },
  )
})

test('a decoded entry shares no memory with its bytes, not even those of a Buffer', () => {
  const entry: Entry = { type: 'symlink', name: utf8('n'), target: utf8('t'), ...META }
  const bytes = Buffer.from(encodeEntry(entry))
  const decoded = decodeEntry(bytes)
  bytes.fill(0)
  assert.deepEqual(decoded, entry)
})

test('a type or attribute of a later version is unsupported, and the entry is named', () => {
  const known = decodeCbor(
    encodeEntry({ type: 'file', name: utf8('dev\n'), sizeBytes: 0, ...META }),
    'entry',
  ) as object
  for (const later of [
    { ...known, t: 'w' },
    { ...known, t: 'char' },
    { ...known, y: 1 },
    { ...known, z: [8, 1] },
  ]) {
    assert.throws(
      () => decodeEntry(encodeCbor(later)),
      (error) => isMirrorError(error, 'unsupported') && error.facts.name === 'dev\\x0a',
    )
  }
})

test('names that would leave their directory, or that no file system takes, are corrupt', () => {
  for (const name of ['', '.', '..', '/', 'a/b', 'a\0', 'x'.repeat(256)]) {
    throwsWith('corrupt', () => checkName(utf8(name)), name)
  }
  for (const name of ['...', '.a', '..a', ' ', '\n', '\\', 'x'.repeat(255)]) checkName(utf8(name))
})

const attribute = (name: string, value = ''): Xattr => ({ name: utf8(name), value: utf8(value) })

test('fields out of bounds are refused when written', () => {
  const file = { type: 'file', name: utf8('f'), sizeBytes: 5, content: chunkCid(1), ...META } as const
  const symlink = { type: 'symlink', name: utf8('l'), target: utf8('t'), ...META } as const
  const bad: Entry[] = [
    { ...file, mode: 0o10000 },
    { ...file, mode: -1 },
    { ...file, mtimeNsec: 1_000_000_000 },
    { ...file, mtimeSec: 0.5 },
    { ...file, uid: 2 ** 32 },
    { ...file, user: '' },
    { ...file, group: 'g'.repeat(256) },
    { ...file, group: 'ü'.repeat(128) },
    { ...file, user: '\ud800' },
    { ...file, sizeBytes: 0 },
    { ...file, sizeBytes: 4 * 1024 * 1024 + 1 },
    { ...file, link: utf8('7 bytes') },
    { ...file, name: utf8('a/b') },
    { ...symlink, target: utf8('') },
    { ...symlink, target: utf8('a\0b') },
    { ...symlink, target: utf8('x'.repeat(4096)) },
    { type: 'directory', name: utf8('d'), directory: cidOf(RAW, utf8('x')), ...META },
    { type: 'file', name: utf8('f'), sizeBytes: 1, ...META },
    { ...file, inline: utf8('four') },
    { ...file, inline: utf8('five!'), content: cidOf(DAG_CBOR, utf8('five!')) },
    { ...file, sizeBytes: 16_385, inline: new Uint8Array(16_385) },
    { ...file, sizeBytes: 8192, inline: new Uint8Array(8192), holes: [0, 4096] },
    { type: 'file', name: utf8('f'), sizeBytes: 0, inline: new Uint8Array(), ...META },
    { type: 'block-device', name: utf8('b'), major: 2 ** 32, minor: 0, ...META },
    { ...file, xattrs: [] },
    { ...file, xattrs: [attribute('')] },
    { ...file, xattrs: [attribute('user.\0')] },
    { ...file, xattrs: [attribute('user.b'), attribute('user.a')] },
    { ...file, xattrs: [attribute('user.a'), attribute('user.a')] },
    { ...file, xattrs: [attribute('user.a', 'x'.repeat(1024))] },
    { ...file, xattrs: [attribute('user.a')], xattrBlock: cidOf(DAG_CBOR, utf8('x')) },
    { ...file, xattrBlock: cidOf(RAW, utf8('x')) },
    ...[[], [0], [0, 0], [1, 4], [0, 4], [0, 4096], [4096, 4096], [0, -1]].map((holes) => ({
      ...file,
      holes,
    })),
    ...[
      [0, 4096, 4096, 4096],
      [8192, 4096, 0, 4096],
      [0, 4097],
      [0, 12_289],
    ].map((holes) => ({
      ...file,
      sizeBytes: 12_288,
      holes,
    })),
  ]
  for (const entry of bad) throwsWith('corrupt', () => encodeEntry(entry))
  throwsWith('corrupt', () => decodeEntry(new Uint8Array()))
})

test('a field of another type of entry, or a missing one, is corrupt when read', () => {
  const known = decodeCbor(
    encodeEntry({ type: 'file', name: utf8('f'), sizeBytes: 0, ...META }),
    'entry',
  ) as Record<string, unknown>
  const without = (key: string): unknown =>
    Object.fromEntries(Object.entries(known).filter(([k]) => k !== key))
  for (const key of Object.keys(known))
    throwsWith('corrupt', () => decodeEntry(encodeCbor(without(key))), key)
  const strange = [
    { ...known, l: utf8('target') },
    { ...known, d: cidOf(DAG_CBOR, utf8('x')) },
    { ...known, t: 'd' },
    { ...known, c: chunkCid(1) },
    { ...known, b: utf8('x') },
    { ...known, s: 1, b: utf8('xy') },
    { ...known, s: 1, b: utf8('x'), c: chunkCid(1) },
    { ...known, s: 1, b: 'x' },
    { ...known, T: [1] },
    { ...known, r: [8, 1] },
    { ...known, t: 'c' },
    { ...known, t: 'l', o: [0, 1] },
    { ...known, o: [0, 1] },
    { ...known, x: [[utf8('user.a')]] },
  ]
  for (const value of strange) throwsWith('corrupt', () => decodeEntry(encodeCbor(value)))
})
