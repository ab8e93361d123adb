/** What a fetch needs of the outside. The network host has these methods; tests bring their own. */
import type { Block } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import type { BlockChannel, HoldingUpdate } from '../net/ports.ts'

export interface FetchNetwork {
  /** @throws MirrorError `corrupt` when the peer answered with other bytes */
  fetchObject(
    peer: string,
    request: {
      readonly tree: string
      readonly cid: Cid
      /** What this node has that the object may resemble. */
      readonly bases?: readonly Block[]
      /** Told how many bytes the object took on its way, where that is not its length. */
      readonly onTravelled?: (bytes: number) => void
    },
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined>
  openBlocks(peer: string): BlockChannel
  watch(
    peer: string,
    request: { readonly tree: string; readonly snapshot: Cid },
    signal: AbortSignal,
  ): AsyncIterable<HoldingUpdate>
}

/** A member of the mesh as a fetch of one tree sees it. */
export interface FetchMember {
  readonly peer: string
  readonly site: string
  readonly region: string
  /** The tree is pinned to its site: it fetches new snapshots too, and takes its share of the segments. */
  readonly wants: boolean
  /** It wants more of the tree than this site does, and all that this one wants. Only with `wants`. */
  readonly wantsMore?: boolean
  /**
   * A member of one's own region that wants the tree should be listed before it is connected: right after a start the
   * fetch then waits a moment for what it holds. One that is known to be down for long need not be.
   */
  readonly isConnected: boolean
}

export interface FetchMembers {
  /** Others that may read the tree; this node is not among them. */
  list(tree: string): readonly FetchMember[]
  /** Called when any list may have changed. Returns the function that ends it. */
  onChange(listener: () => void): () => void
}

/** One event a line; pino fits. */
export interface ReplicaLog {
  debug(fields: object, event: string): void
  info(fields: object, event: string): void
  warn(fields: object, event: string): void
}
