/**
 * The pauses of this site's fetches, in a file of their own: durable before whoever asked for one is answered. A file that
 * cannot be read stops the start, as that of the limits does: somebody had a reason to keep the line free.
 */
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import type { Clock } from '../src/base/clock.ts'
import { asMirrorError, MirrorError } from '../src/base/errors.ts'
import { isTreeName } from '../src/base/names.ts'
import { Semaphore } from '../src/base/semaphore.ts'
import { type FetchPause, type FetchPauses, MAX_PAUSED_BY } from '../src/replica/fetch-pauses.ts'
import { makePrivateDir, writeDurably } from './durable-file.ts'

export const MAX_PAUSES = 1024

const TREE = z.string().refine(isTreeName, 'is not the name of a tree')
const PAUSE = z.strictObject({ by: z.string().min(1).max(MAX_PAUSED_BY), sinceMs: z.int().min(0) })
const FILE = z.strictObject({ mirrormeshPauses: z.literal(1), trees: z.record(TREE, PAUSE) })

export interface KeptPauses extends FetchPauses {
  /** One that is paused already stays as it was. @throws MirrorError `limit` */
  pause(tree: string, by: string): Promise<FetchPause>
  /** False: it was not paused. */
  resume(tree: string): Promise<boolean>
}

export async function loadFetchPauses({
  file,
  clock,
}: {
  readonly file: string
  readonly clock: Clock
}): Promise<KeptPauses> {
  let pauses: ReadonlyMap<string, FetchPause> = await readPauses(file)
  const turns = new Semaphore(1)
  const listeners = new Set<() => void>()

  async function keep(next: ReadonlyMap<string, FetchPause>): Promise<void> {
    await makePrivateDir(dirname(file))
    const text = JSON.stringify({ mirrormeshPauses: 1, trees: Object.fromEntries(next) }, null, 2)
    await writeDurably(file, `${text}\n`, { mode: 0o644 })
    pauses = next
    for (const listener of listeners) listener()
  }

  return {
    list: () => pauses,
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    pause: (tree, by) =>
      turns.run(async () => {
        const known = pauses.get(tree)
        if (known !== undefined) return known
        if (pauses.size >= MAX_PAUSES) {
          throw new MirrorError('limit', `${MAX_PAUSES} trees are paused here, and no more can be`, {
            hint: 'Resume some, or drain the site: mirrormesh site drain SITE',
          })
        }
        const pause = { by: by.slice(0, MAX_PAUSED_BY), sinceMs: clock.nowMs() }
        await keep(new Map(pauses).set(tree, pause))
        return pause
      }),
    resume: (tree) =>
      turns.run(async () => {
        const next = new Map(pauses)
        if (!next.delete(tree)) return false
        await keep(next)
        return true
      }),
  }
}

async function readPauses(file: string): Promise<Map<string, FetchPause>> {
  try {
    return new Map(Object.entries(FILE.parse(JSON.parse(await readFile(file, 'utf8'))).trees))
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return new Map()
    const error = asMirrorError(thrown, `read the paused fetches, ${file}`)
    if (error.code === 'refused' || error.code === 'io') throw error
    throw new MirrorError('corrupt', `the paused fetches cannot be read: ${file}`, {
      cause: error,
      hint: 'Remove it: nothing is paused then.',
    })
  }
}
