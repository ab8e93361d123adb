/** The diff of a snapshot with a folder on this node's disk, which the daemon reads as a publish does. */
import { printableName } from '../../../src/base/bytes.ts'
import { MirrorError } from '../../../src/base/errors.ts'
import { diffDirectory } from '../../../src/tree/compare/diff-directory.ts'
import { checkIgnoreRules, createIgnoreRules } from '../../../src/tree/ignore-rules.ts'
import type { DiffHeader, DiffLine } from '../answers.ts'
import { describeChange } from '../describe.ts'
import { findSnapshot, findTree } from '../find-snapshot.ts'
import { followLink } from '../follow-link.ts'
import { readQuery } from '../query.ts'
import type { Services } from '../services.ts'

export async function diffWithDirectory(
  services: Services,
  tree: string,
  url: string,
  held: AbortSignal,
): Promise<{ header: DiffHeader; changes: (signal: AbortSignal) => AsyncIterable<DiffLine> }> {
  const query = readQuery(url)
  const dir = query.bytes('dir')
  if (dir[0] !== 0x2f) throw new MirrorError('invalid', 'dir must be an absolute path')
  const checksum = query.optionalText('checksum') === 'true'
  const ref = query.optionalText('ref')
  // A tree without a snapshot has nothing: all of the folder would be new to it.
  const isEmpty = ref === undefined && findTree(services, tree).newest === undefined
  const from = isEmpty ? undefined : await findSnapshot(services, tree, ref, held)
  const top = await followLink(dir, from?.snapshot.root.type ?? 'directory')
  const ignore = readRules(query.optionalText('ignore')) ?? from?.snapshot.ignore ?? []
  return {
    header: { from: from?.place ?? null, to: { dir: printableName(dir) } },
    async *changes(signal) {
      const changes = diffDirectory(services, {
        root: from?.snapshot.root,
        dir: top,
        checksum,
        ignore: createIgnoreRules(ignore),
        signal,
      })
      for await (const change of changes) yield describeChange(change, checksum)
    },
  }
}

/** A JSON list. */
function readRules(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined
  let rules: unknown
  try {
    rules = JSON.parse(text)
  } catch {
    rules = undefined
  }
  if (!Array.isArray(rules) || !rules.every((rule) => typeof rule === 'string')) {
    throw new MirrorError('invalid', 'ignore must be a JSON list of texts')
  }
  checkIgnoreRules(rules)
  return rules
}
