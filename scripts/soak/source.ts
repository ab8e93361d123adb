/** A folder that changes as builds do: some files stay, some are written anew, some come and go. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export type Random = () => number

/** A reproducible stream of numbers in [0, 1) (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

export function pick<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)]!
}

const MAX_FILES = 120
const MAX_FILE_BYTES = 400_000

function fill(random: Random): Buffer {
  const bytes = Buffer.allocUnsafe(1 + Math.floor(random() ** 3 * MAX_FILE_BYTES))
  // Of few different kinds, so that blocks come back after they were collected.
  let state = 1 + Math.floor(random() * 300)
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    bytes[i] = state >>> 16
  }
  return bytes
}

export function changeSource(dir: string, random: Random): void {
  mkdirSync(dir, { recursive: true })
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const changes = files.length === 0 ? MAX_FILES / 2 : 1 + Math.floor(random() * 15)
  for (let i = 0; i < changes; i++) {
    const folder = join(dir, `part-${Math.floor(random() * 6)}`)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `file-${Math.floor((random() * MAX_FILES) / 6)}`), fill(random))
  }
  for (const { parentPath, name } of files.slice(0, Math.floor(random() * 5))) rmSync(join(parentPath, name))
}
