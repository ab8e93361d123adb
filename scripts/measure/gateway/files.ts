/** What is served: one large file, and many small ones. */

import { randomFillSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface BenchFiles {
  readonly large: string
  readonly small: readonly string[]
}

/** Paths are relative to the tree. */
export function makeFiles(
  dir: string,
  { largeBytes, small }: { readonly largeBytes: number; readonly small: number },
): BenchFiles {
  writeFileSync(join(dir, 'large'), randomFillSync(Buffer.allocUnsafe(largeBytes)))
  mkdirSync(join(dir, 'small'))
  const names = Array.from({ length: small }, (_, i) => `small/${i}`)
  for (const [i, name] of names.entries())
    writeFileSync(join(dir, name), randomFillSync(Buffer.allocUnsafe(1000 + ((i * 7919) % 15_000))))
  return { large: 'large', small: names }
}
