/** Verdicts on what is held back, by tree: the last writer's. */
import type { VerdictBody } from '../kinds/verdict.ts'
import type { Verdict } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import type { Authority } from './authority.ts'
import { pushTo } from './chains.ts'
import { lastWriter, type Versioned } from './last-writer.ts'
import { originOf } from './origin.ts'

export interface VerdictRecords {
  learn(record: VerifiedRecord): void
  trees(): Iterable<string>
  verdict(tree: string): Verdict | undefined
}

export function createVerdictRecords(authority: Authority): VerdictRecords {
  const byTree = new Map<string, (Versioned & { readonly body: VerdictBody })[]>()
  return {
    learn(record) {
      if (record.content.kind !== 'verdict') return
      const { body } = record.content
      pushTo(byTree, body.tree, { record, body, version: body.version })
    },
    trees: () => byTree.keys(),
    verdict(tree) {
      const last = lastWriter(
        (byTree.get(tree) ?? []).filter(({ record }) => authority.adminObjection(record) === undefined),
      )
      return last === undefined ? undefined : { body: last.body, origin: originOf(last.record) }
    },
  }
}
