/**
 * Which snapshots before the parent of a new one get deltas first, where some do: those that sites stand at, as they say (or said
 * before they went away), and then the others, the newest first. So a site that missed a week finds deltas against what it has.
 */

/** What a site says, as far as it matters here. */
interface HeardTrees {
  readonly announcement: {
    readonly trees: readonly { readonly tree: string; readonly completeSequence: number | null }[]
  }
}

/** Sequences of the snapshots of a tree that are the newest complete ones somewhere. */
export function standingAt(heard: ReadonlyMap<string, HeardTrees>, tree: string): ReadonlySet<number> {
  const standing = new Set<number>()
  for (const { announcement } of heard.values())
    for (const { tree: name, completeSequence } of announcement.trees)
      if (name === tree && completeSequence !== null) standing.add(completeSequence)
  return standing
}

/** Sequences below `baseSequence`, each once. */
export function* olderBases(
  baseSequence: number,
  standing: ReadonlySet<number>,
): Generator<number, void, undefined> {
  const first = [...standing].filter((sequence) => sequence >= 1 && sequence < baseSequence)
  yield* first.sort((a, b) => b - a)
  for (let sequence = baseSequence - 1; sequence >= 1; sequence--) if (!standing.has(sequence)) yield sequence
}
