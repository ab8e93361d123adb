/** Takedowns, by name: the last writer's, which may have lifted it. */
import type { TakedownBody } from '../kinds/takedown.ts'
import type { Takedown } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import type { Authority } from './authority.ts'
import { pushTo } from './chains.ts'
import { lastWriter, type Versioned } from './last-writer.ts'
import { originOf } from './origin.ts'

export interface TakedownRecords {
  learn(record: VerifiedRecord): void
  names(): Iterable<string>
  takedown(name: string): Takedown | undefined
}

export function createTakedownRecords(authority: Authority): TakedownRecords {
  const byName = new Map<string, (Versioned & { readonly body: TakedownBody })[]>()
  return {
    learn(record) {
      if (record.content.kind !== 'takedown') return
      const { body } = record.content
      pushTo(byName, body.name, { record, body, version: body.version })
    },
    names: () => byName.keys(),
    takedown(name) {
      const last = lastWriter(
        (byName.get(name) ?? []).filter(({ record }) => authority.adminObjection(record) === undefined),
      )
      return last === undefined ? undefined : { body: last.body, origin: originOf(last.record) }
    },
  }
}
