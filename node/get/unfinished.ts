/**
 * Where what arrives lies until it is at its destination: beside that, so that a get that ended at any moment - a signal, kill
 * -9, a power cut - goes on when it is given again, and leaves nothing behind when it is done.
 *
 *   .NAME.mirrormesh-get/store     the blocks
 *   .NAME.mirrormesh-get/writing   all of them are there; says what is being written
 *   .NAME.mirrormesh-got           it is at its place; says what and how it went, while the folder is being removed
 *
 * What is at the destination already is never taken for ours by its name: it has to be what a `writing` or a `got` speaks of.
 */
import { readFile, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Clock } from '../../src/base/clock.ts'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { openStore, type Store } from '../../src/store/store.ts'
import { makePrivateDir, writeDurably } from '../durable-file.ts'

export interface UnfinishedOptions<T> {
  /** Tells what is got: of another thing nothing is taken over. */
  readonly what: string
  /** Of something at the destination that is not of an earlier try. @throws MirrorError `conflict` when it must stay */
  readonly checkTaken: () => void
  /** Gets all blocks. */
  readonly fetch: (store: Store) => Promise<void>
  /** Whether the destination is as it would be written; asked when an earlier try may have put it there. */
  readonly isThere: (store: Store) => Promise<boolean>
  /** Puts it there in one step, or throws. What it resolves to is kept as JSON. */
  readonly write: (store: Store, isThere: boolean) => Promise<T>
}

/**
 * @param dest absolute
 * @throws MirrorError `conflict` when something else is at the destination, before anything is fetched
 */
export async function getUnfinished<T>(
  { clock }: { readonly clock: Clock },
  dest: string,
  { what, checkTaken, fetch, isThere, write }: UnfinishedOptions<T>,
): Promise<T> {
  const parent = dirname(dest)
  if ((await stat(parent).catch(() => undefined))?.isDirectory() !== true)
    throw new MirrorError('not-found', `there is no folder ${parent}`, { hint: 'Make it first.' })
  const dir = join(parent, `.${basename(dest)}.mirrormesh-get`)
  const got = join(parent, `.${basename(dest)}.mirrormesh-got`)
  const writing = join(dir, 'writing')

  async function remove(): Promise<void> {
    await rm(dir, { recursive: true, force: true })
    await rm(got, { force: true })
  }

  const isTaken = (await stat(dest).catch(() => undefined)) !== undefined
  const said = await readText(got)
  if (said !== undefined) {
    const before = JSON.parse(said) as { readonly what: string; readonly result: T }
    // Half removed already, perhaps: nothing of it is used again.
    await remove()
    if (before.what === what && isTaken) return before.result
  }
  const wasWriting = (await readText(writing)) === what
  if (isTaken && !wasWriting) checkTaken()
  await makePrivateDir(dir)
  const store = await openStore({ dir: join(dir, 'store'), clock }, { compression: 'none' })
  let result: T
  try {
    await fetch(store)
    const isOurs = isTaken && wasWriting && (await isThere(store))
    if (isTaken && !isOurs) checkTaken()
    await writeDurably(writing, what, { mode: 0o600 })
    result = await write(store, isOurs)
  } finally {
    await store.close()
  }
  const text = JSON.stringify({ what, result })
  await writeDurably(got, text, { mode: 0o600, temporary: join(dir, 'got') })
  await remove()
  return result
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw asMirrorError(error, `read ${file}`)
  }
}
