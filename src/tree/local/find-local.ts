/** What of a check-out is its users' own, before it is replaced: what stays, and what will be gone. */
import { printableName } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import type { Entry } from '../../dag/entry.ts'
import { lookUp } from '../../dag/reader.ts'
import type { NodeSource } from '../../dag/source.ts'
import { abortable } from '../abort.ts'
import { startThread } from '../thread.ts'
import type { LocalPaths } from './local-paths.ts'
import { createLocalPaths } from './local-paths.ts'
import type { LocalScan, LocalScanInput } from './scan-local.ts'
import { MAX_EXTRAS_LISTED, PROTECTED } from './scan-local.ts'

/** Paths in printable form; `first` has 100 at most. */
export interface PathList {
  readonly count: number
  readonly first: readonly string[]
}

export interface LocalFindings {
  /** Local paths that were carried over. */
  readonly kept: PathList
  /** Of the snapshot, and not written because something local is in the way. */
  readonly overridden: PathList
  /** Made in the check-out before, not protected, and gone with it. */
  readonly dropped: PathList
}

export interface Findings {
  readonly local: LocalPaths
  /** What was written to the old tree is known. */
  readonly hasManifest: boolean
  /** Complete when the tree has been written. */
  summary(): LocalFindings
}

export interface FindLocalOptions {
  readonly root: Entry
  readonly old: { readonly dir: Buffer; readonly root: string; readonly manifest: Buffer } | undefined
  readonly protect: readonly string[]
  readonly signal: AbortSignal | undefined
}

export async function findLocal(
  blocks: NodeSource,
  { root, old, protect, signal }: FindLocalOptions,
): Promise<Findings> {
  const scan = old && (await scanOld(old, protect, signal))
  const paths: Uint8Array[] = []
  for (const path of scan?.local ?? []) {
    // Without a manifest: what the snapshot has too is taken for its own.
    const isOwn = scan?.hasManifest === true || protect.includes(Buffer.from(path).toString())
    if (isOwn || !(await hasMark(blocks, root, path, signal))) paths.push(path)
  }
  const local = createLocalPaths(paths)
  return {
    local,
    hasManifest: scan?.hasManifest === true,
    summary: () => ({
      kept: listOf(local.paths),
      overridden: listOf(local.overridden),
      dropped: scan?.extras ?? { count: 0, first: [] },
    }),
  }
}

/** Looks through a check-out for what is its users' own. */
export async function scanOld(
  { dir, root, manifest }: NonNullable<FindLocalOptions['old']>,
  protect: readonly string[],
  signal: AbortSignal | undefined,
): Promise<LocalScan> {
  const input = { dir, root, manifest, protect: protect.map((path) => Buffer.from(path)) }
  const thread = startThread<LocalScanInput, never, never, LocalScan>(
    new URL('./scan-local-worker', import.meta.url),
    input,
    () => {
      throw new MirrorError('internal', 'a look through a check-out asks nothing')
    },
    `look through ${printableName(dir)}`,
  )
  try {
    return await abortable(thread.done, signal)
  } finally {
    await thread.stop()
  }
}

async function hasMark(
  blocks: NodeSource,
  root: Entry,
  path: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const names = Buffer.from(path).toString('latin1').split('/')
  const bytes = [...names, PROTECTED].map((name) => Buffer.from(name, 'latin1'))
  return (await lookUp(blocks, root, bytes, signal)) !== undefined
}

function listOf(paths: readonly Buffer[]): PathList {
  return { count: paths.length, first: paths.slice(0, MAX_EXTRAS_LISTED).map(printableName) }
}

/** In one form, without repeats. @throws MirrorError `invalid` for a path that is not below a check-out */
export function checkProtect(given: readonly string[]): string[] {
  const out = new Set<string>()
  for (const text of given) {
    const parts = text.split('/').filter((part) => part !== '' && part !== '.')
    if (text.startsWith('/') || parts.length === 0 || parts.includes('..') || text.includes('\0')) {
      throw new MirrorError('invalid', `not a path below a check-out: ${printableName(Buffer.from(text))}`, {
        hint: 'Name it as it is seen from the folder of the check-out: local/notes.txt',
      })
    }
    out.add(parts.join('/'))
  }
  return [...out]
}
