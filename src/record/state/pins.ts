/** Pins, by name: the last writer's, which may be a tombstone. */
import type { PinBody } from '../kinds/pin.ts'
import type { Pin } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import type { Authority } from './authority.ts'
import { pushTo } from './chains.ts'
import { lastWriter, type Versioned } from './last-writer.ts'
import { originOf } from './origin.ts'

export interface PinRecords {
  learn(record: VerifiedRecord): void
  names(): Iterable<string>
  pin(name: string): Pin | undefined
}

export function createPinRecords(authority: Authority): PinRecords {
  const byName = new Map<string, (Versioned & { readonly body: PinBody })[]>()
  return {
    learn(record) {
      if (record.content.kind !== 'pin') return
      const { body } = record.content
      pushTo(byName, body.name, { record, body, version: body.version })
    },
    names: () => byName.keys(),
    pin(name) {
      const last = lastWriter(
        (byName.get(name) ?? []).filter(({ record }) => authority.adminObjection(record) === undefined),
      )
      return last === undefined ? undefined : { body: last.body, origin: originOf(last.record) }
    },
  }
}
