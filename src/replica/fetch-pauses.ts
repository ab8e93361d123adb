/**
 * Fetches that an operator holds back at this site for a while: what is here of the tree stays and is served, nothing more of it
 * is fetched, and it takes no place from others meanwhile. Local to the site, kept over restarts by whoever implements this, and
 * told to the others in its status: they do not wait for its share of the work.
 */
export interface FetchPause {
  /** Who, in the words of that node: the name of a token, or of a user of the machine. */
  readonly by: string
  /** ms since 1970, by that node's clock. */
  readonly sinceMs: number
}

export interface FetchPauses {
  /** By tree. */
  list(): ReadonlyMap<string, FetchPause>
  /** Called when one came or went. Returns the function that ends it. */
  onChange(listener: () => void): () => void
}

export const NO_PAUSES: FetchPauses = { list: () => new Map(), onChange: () => () => undefined }

export const MAX_PAUSED_BY = 128

/** For people who read a status of a program that knows no pauses. */
export function pauseReason({ by, sinceMs }: FetchPause): string {
  return `paused by ${by} since ${new Date(sinceMs).toISOString().slice(0, 16)}Z`
}
