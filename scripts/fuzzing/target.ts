/** What a target is, and what all of them share: a corpus of golden files, and which errors are a refusal. */
import { readdirSync, readFileSync } from 'node:fs'
import { isMirrorError } from '../../src/base/errors.ts'
import { mutateBytes, mutateNode, type Random } from './mutate.ts'

export interface Trial {
  /** Whether the input was taken as sound. */
  readonly taken: boolean
  readonly input: Uint8Array
}

/** Makes one input and tries it. @throws when it was not treated as it should be */
export type Target = (random: Random) => Trial | Promise<Trial>

const TESTS = new URL('../../test/', import.meta.url)

/** Golden blocks that have their bytes in the file, by name. */
export function goldenNodes(): { entries: Uint8Array[]; blocks: { name: string; bytes: Uint8Array }[] } {
  const text = readFileSync(new URL('dag/golden/nodes.json', TESTS), 'utf8')
  const golden = JSON.parse(text) as { entries: string[]; blocks: Record<string, { bytes?: string }> }
  return {
    entries: golden.entries.map(fromHex),
    blocks: Object.entries(golden.blocks).flatMap(([name, { bytes }]) =>
      bytes === undefined ? [] : [{ name, bytes: fromHex(bytes) }],
    ),
  }
}

export function goldenRecords(): Uint8Array[] {
  const folder = new URL('record/golden/', TESTS)
  return readdirSync(folder)
    .filter((name) => /^(?:record|later)-.*\.hex$/.test(name))
    .map((name) => fromHex(readFileSync(new URL(name, folder), 'utf8').trim()))
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

/** Up to three changes of the bytes, or of what the node says. */
export function mutated(random: Random, seed: Uint8Array): Uint8Array {
  let bytes = seed
  for (let left = random.int(3); left >= 0; left--) {
    if (random.int(3) === 0) return mutateBytes(random, bytes)
    bytes = mutateNode(random, bytes)
  }
  return bytes
}

/** Undefined for a refusal. `invalid` is one where the input is what a person or a client typed. */
export function attempt<T>(decode: () => T, codes: readonly string[] = REFUSALS): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (isMirrorError(error) && codes.includes(error.code)) return undefined
    throw error
  }
}

export const REFUSALS = ['corrupt', 'limit', 'unsupported'] as const
export const TEXT_REFUSALS = [...REFUSALS, 'invalid', 'not-found'] as const
