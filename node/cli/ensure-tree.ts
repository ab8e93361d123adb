/**
 * Creates a tree with its first publisher: two records, `tree` and `epoch`, by an admin, or by this node for itself when
 * a grant makes it a publisher of that name.
 */
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { Bodies } from '../../src/record/content.ts'
import type { TreeReaders } from '../../src/record/kinds/tree.ts'
import type { SelfDocument, TreeDocument } from '../api/answers.ts'
import type { Context } from './context.ts'
import { treeUrl } from './tree-url.ts'

/** Does nothing when the tree has a publisher. Without an admin's key here a missing tree is an error. */
export async function ensureTree(context: Context, tree: string): Promise<void> {
  const found = await findTree(context, tree)
  if (found !== undefined && found.epoch !== null) return
  const self = await context.api.get<SelfDocument>('/api/v1/self', context.signal)
  try {
    await createTree(context, tree, self.peer)
  } catch (error) {
    if (!isMirrorError(error, 'refused')) throw error
    throw new MirrorError(
      'not-found',
      `there is no tree ${tree}, this home has no admin's key to create it, and this node no grant`,
      {
        cause: error,
        hint: `Where an admin's key is: mirrormesh tree create ${tree} --publisher ${self.site}`,
      },
    )
  }
}

export async function findTree({ api, signal }: Context, tree: string): Promise<TreeDocument | undefined> {
  try {
    return await api.get<TreeDocument>(treeUrl({ tree }, ''), signal)
  } catch (error) {
    if (isMirrorError(error, 'not-found')) return undefined
    throw error
  }
}

/**
 * @param peer PeerId of the node whose heads shall count
 * @throws MirrorError `conflict` when the tree is back from deletion and has another publisher
 */
export async function createTree(
  context: Context,
  tree: string,
  peer: string,
  { readers }: { readonly readers?: TreeReaders } = {},
): Promise<void> {
  const [{ loadAdminKey, signAndSubmit, signAsAdminOrNode }, { publicKeyOf }, self] = await Promise.all([
    import('./sign.ts'),
    import('../../src/record/key.ts'),
    context.api.get<SelfDocument>('/api/v1/self', context.signal),
  ])
  // A node lets itself publish, and nobody else.
  const sign = async <K extends 'epoch' | 'tree'>(kind: K, body: Bodies[K]) =>
    peer === self.peer
      ? signAsAdminOrNode(context, kind, body)
      : signAndSubmit(context, await loadAdminKey(context), kind, body)
  const publisher = publicKeyOf(peer)
  const found = await findTree(context, tree)
  if (found === undefined) {
    const query = new URLSearchParams({ kind: 'tree', name: tree })
    const next = await context.api.get<{ version: number; readers?: TreeReaders }>(
      `/api/v1/next-version?${query}`,
      context.signal,
    )
    await sign('tree', {
      name: tree,
      // One that was private when it was deleted comes back private.
      readers: readers ?? next.readers ?? 'members',
      publishers: [publisher],
      version: next.version,
      removed: false,
    })
  }
  // One that was deleted comes back with its history, and with its publisher unless that is another now.
  const now = found ?? (await findTree(context, tree))
  if (now?.epoch != null && now.epoch.publisher !== peer) {
    throw new MirrorError('conflict', `${tree} is back, and its publisher is still ${now.epoch.publisher}`, {
      hint: `To change that: mirrormesh tree hand-over ${tree} --publisher ${peer}`,
    })
  }
  // Killed between the two: the tree is there, and the next call goes on from here.
  if (now?.epoch == null) {
    await sign('epoch', { tree, epoch: 1, previous: null, publisher, base: null })
  }
}
