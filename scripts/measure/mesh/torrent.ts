/** Makes a torrent of a folder's files (BitTorrent's BEP 3): those that ordinary programs make leave out what starts with a dot. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readdirSync, readSync, writeFileSync } from 'node:fs'
import { basename, join, relative, sep } from 'node:path'

const PIECE_BYTES = 256 * 1024

type Bencoded = string | number | Buffer | readonly Bencoded[] | { readonly [key: string]: Bencoded }

/** @returns the hash by which trackers know it, in hex */
export function makeTorrent(folder: string, tracker: string, torrent: string): string {
  const paths = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  const files: { length: number; path: string[] }[] = []
  const pieces: Buffer[] = []
  const piece = Buffer.allocUnsafe(PIECE_BYTES)
  let filled = 0
  for (const path of paths) {
    const file = openSync(path, 'r')
    let length = 0
    for (;;) {
      const count = readSync(file, piece, filled, PIECE_BYTES - filled, null)
      if (count === 0) break
      length += count
      filled += count
      if (filled < PIECE_BYTES) continue
      pieces.push(createHash('sha1').update(piece).digest())
      filled = 0
    }
    closeSync(file)
    files.push({ length, path: relative(folder, path).split(sep) })
  }
  if (filled > 0) pieces.push(createHash('sha1').update(piece.subarray(0, filled)).digest())
  const info = bencode({
    files,
    name: basename(folder),
    'piece length': PIECE_BYTES,
    pieces: Buffer.concat(pieces),
  })
  writeFileSync(
    torrent,
    Buffer.concat([Buffer.from(`d8:announce${tracker.length}:${tracker}4:info`), info, Buffer.from('e')]),
  )
  return createHash('sha1').update(info).digest('hex')
}

/** Keys of a dictionary rise as bytes. */
function bencode(value: Bencoded): Buffer {
  if (typeof value === 'number') return Buffer.from(`i${value}e`)
  if (typeof value === 'string') return bencode(Buffer.from(value))
  if (Buffer.isBuffer(value)) return Buffer.concat([Buffer.from(`${value.length}:`), value])
  if (Array.isArray(value)) return Buffer.concat([Buffer.from('l'), ...value.map(bencode), Buffer.from('e')])
  const entries = Object.entries(value as { readonly [key: string]: Bencoded }).sort(([a], [b]) =>
    a < b ? -1 : 1,
  )
  return Buffer.concat([
    Buffer.from('d'),
    ...entries.flatMap(([key, each]) => [bencode(key), bencode(each)]),
    Buffer.from('e'),
  ])
}
