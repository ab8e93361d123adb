/**
 * Creates a tree with its first publisher: two records, `tree` and `epoch`, by an admin, or by this node for itself when
 * a grant makes it a publisher of that name.
 */
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { Bodies } from '../../src/record/content.ts'
import type { SelfDocument, TreeDocument } from '../api/answers.ts'
import type { Context } from './context.ts'
import type { TreeSettings } from './tree-settings.ts'
import { treeUrl } from './tree-url.ts'

/**
 * Does nothing when the tree has a publisher. Without an admin's key here a missing tree is an error.
 * @returns whether there was none before
 */
export async function ensureTree(context: Context, tree: string): Promise<boolean> {
  const found = await findTree(context, tree)
  if (found !== undefined && found.epoch !== null) return false
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
  return found === undefined
}

/** @param orRemoved one that was deleted, too */
export async function findTree(
  { api, signal }: Context,
  tree: string,
  { orRemoved = false }: { readonly orRemoved?: boolean } = {},
): Promise<TreeDocument | undefined> {
  try {
    return await api.get<TreeDocument>(treeUrl({ tree }, '', orRemoved ? { removed: 'true' } : {}), signal)
  } catch (error) {
    if (isMirrorError(error, 'not-found')) return undefined
    throw error
  }
}

/**
 * @param peer PeerId of the node whose heads shall count
 * @param settings as it was before it was deleted, and simple when it is new, where they are absent
 * @throws MirrorError `conflict` when the tree is back from deletion and has another publisher
 */
export async function createTree(
  context: Context,
  tree: string,
  peer: string,
  settings?: TreeSettings,
): Promise<void> {
  const [
    { loadAdminKey, nextVersion, signAndSubmit, signAsAdminOrNode },
    { publicKeyOf },
    { bodyOfTree },
    self,
  ] = await Promise.all([
    import('./sign.ts'),
    import('../../src/record/key.ts'),
    import('./tree-body.ts'),
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
    const version = await nextVersion(context, { kind: 'tree', name: tree })
    // What was private stays private when it comes back: its history comes back with it.
    const deleted = await findTree(context, tree, { orRemoved: true })
    const body =
      deleted === undefined
        ? { name: tree, readers: 'members' as const, version, removed: false }
        : bodyOfTree(deleted, version)
    await sign('tree', { ...body, ...settings, publishers: [publisher] })
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
