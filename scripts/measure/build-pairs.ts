import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

export interface FetchedPair {
  readonly kind: string
  readonly name: string
  readonly path: string
}

const KINDS = ['trees', 'images', 'packages'] as const

/** What fetch-builds.ts laid out in `folder`. */
export function pairsIn(folder: string): FetchedPair[] {
  return KINDS.filter((kind) => existsSync(join(folder, kind))).flatMap((kind) =>
    readdirSync(join(folder, kind))
      .sort()
      .map((name) => ({ kind, name, path: join(folder, kind, name) })),
  )
}
