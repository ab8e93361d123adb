/**
 * The check-out of a tree that is written while the tree is fetched: one at a time. It lives from the first fetch that it can
 * follow to its check-out, over fetches that fail and heads that move on; whoever wants it no more closes it.
 */
import type { Cid } from '../../block/cid.ts'
import type { CheckoutAhead } from '../../tree/checkout/ahead.ts'
import type { PageListener } from '../../tree/checkout/page-frontier.ts'

export interface AheadView {
  readonly path: string
  /** Written so far. */
  readonly files: number
  readonly bytes: number
}

export interface TreeAhead {
  /**
   * Goes on with the check-out at `path`, or begins it; what was begun at another place is removed.
   * @returns what the fetch is to tell of its pages; undefined when nothing is written
   */
  follow(
    path: string | undefined,
    snapshot: Cid,
    neededBytes: () => number,
  ): Promise<PageListener | undefined>
  /** The fetch has ended. */
  settle(): Promise<void>
  /** What is written at `path`; the caller closes it. */
  takeFor(path: string): CheckoutAhead | undefined
  /** Removes what is at another place than these. */
  keepOnlyFor(paths: readonly string[]): void
  view(): AheadView | undefined
  /** Removes what there is. */
  close(): Promise<void>
}

export function createTreeAhead(begin: (path: string) => CheckoutAhead | undefined): TreeAhead {
  let current: { readonly path: string; readonly ahead: CheckoutAhead } | undefined
  let closing: Promise<void> = Promise.resolve()

  function close(): Promise<void> {
    const ending = current
    current = undefined
    if (ending !== undefined) closing = closing.then(() => ending.ahead.close())
    return closing
  }

  return {
    async follow(path, snapshot, neededBytes) {
      // One that was given up is tried again with another fetch.
      if (current !== undefined && (current.path !== path || current.ahead.isGivenUp)) void close()
      await closing
      if (path === undefined) return undefined
      if (current === undefined) {
        const ahead = begin(path)
        if (ahead === undefined) return undefined
        current = { path, ahead }
      }
      return current.ahead.follow(snapshot, neededBytes)
    },
    async settle() {
      await current?.ahead.settle()
    },
    takeFor(path) {
      if (current?.path !== path) return undefined
      const { ahead } = current
      current = undefined
      return ahead
    },
    keepOnlyFor(paths) {
      if (current !== undefined && !paths.includes(current.path)) void close()
    },
    view() {
      // Before it has a place nothing is written, and perhaps nothing will be.
      if (current === undefined || current.ahead.place === undefined) return undefined
      const { path, ahead } = current
      return { path, files: ahead.files, bytes: ahead.bytes }
    },
    close,
  }
}
