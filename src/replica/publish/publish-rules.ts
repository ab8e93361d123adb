/**
 * What a tree's record asks of a new snapshot before its head is signed: the gate, and that versions which are published
 * never change. Judged on what was imported, so that what goes out is what was judged.
 */
import { equalBytes, printableName } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { type Entry, encodeEntry } from '../../dag/entry.ts'
import { lookUp, type NodeSource, readDirectory } from '../../dag/reader.ts'
import { judge } from '../../gate/gate.ts'
import type { TreeBody } from '../../record/kinds/tree.ts'

export interface RuledSnapshot {
  readonly source: NodeSource
  readonly root: Entry
  /** Of the newest snapshot, where there is one. */
  readonly before: Entry | undefined
}

/**
 * @returns what could not be judged, in words
 * @throws MirrorError `refused` with the reasons
 */
export async function checkRules(
  { name, kind, gate }: Pick<TreeBody, 'name' | 'kind' | 'gate'>,
  snapshot: RuledSnapshot,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const { source, root } = snapshot
  if (kind !== 'versioned')
    return gate === undefined ? [] : await judgeOne(name, '', gate, { source, root }, signal)
  const notes: string[] = []
  for await (const version of newVersions(name, snapshot, signal)) {
    if (gate === undefined) continue
    const where = `${printableName(version.name)}: `
    notes.push(...(await judgeOne(name, where, gate, { source, root: version }, signal)))
  }
  return notes
}

async function judgeOne(
  tree: string,
  where: string,
  gate: NonNullable<TreeBody['gate']>,
  judged: { readonly source: NodeSource; readonly root: Entry },
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const { reasons, notes } = await judge(gate, judged, signal)
  if (reasons.length === 0) return notes.map((note) => `${where}${note}`)
  throw new MirrorError('refused', `the gate of ${tree} is closed: ${where}${reasons.join('; ')}`, {
    facts: { tree },
    hint: 'Nothing was published. Publish again when the source is finished; the next import reads only what changed.',
  })
}

/** The folders at the root that the newest snapshot does not have. @throws MirrorError `refused` when one that it has is not the same now */
async function* newVersions(
  tree: string,
  { source, root, before }: RuledSnapshot,
  signal: AbortSignal | undefined,
): AsyncGenerator<Entry, void, undefined> {
  if (root.type !== 'directory') {
    throw new MirrorError('refused', `${tree} is a tree of versions, and this is one file`, {
      facts: { tree },
      hint: 'Publish a folder that holds the versions, or one version with --as.',
    })
  }
  for await (const entry of readDirectory(source, root.directory, { signal })) {
    if (entry.type !== 'directory') continue
    const old = before && (await lookUp(source, before, [entry.name], signal))
    if (old?.type !== 'directory') yield entry
    else if (!equalBytes(encodeEntry(old), encodeEntry(entry))) {
      const version = printableName(entry.name)
      throw new MirrorError('refused', `version ${version} of ${tree} is published, and would change`, {
        facts: { tree, version },
        hint: `Versions do not change. Publish it under another name; or take it out first: mirrormesh tree drop ${tree} ${version}`,
      })
    }
  }
}
