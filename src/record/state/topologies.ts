/** The topology: the last writer's. */
import type { TopologyBody } from '../kinds/topology.ts'
import type { DeclaredTopology } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import type { Authority } from './authority.ts'
import { lastWriter, type Versioned } from './last-writer.ts'
import { originOf } from './origin.ts'

export interface TopologyRecords {
  learn(record: VerifiedRecord): void
  newest(): DeclaredTopology | undefined
}

export function createTopologyRecords(authority: Authority): TopologyRecords {
  const all: (Versioned & { readonly body: TopologyBody })[] = []
  return {
    learn(record) {
      if (record.content.kind !== 'topology') return
      const { body } = record.content
      all.push({ record, body, version: body.version })
    },
    newest() {
      const last = lastWriter(all.filter(({ record }) => authority.adminObjection(record) === undefined))
      return last === undefined ? undefined : { body: last.body, origin: originOf(last.record) }
    },
  }
}
