/**
 * Pins, by name: the last writer's, which may be a tombstone.
 *
 * A name is all that two versions of a pin share, so an operator must not get at a pin of other trees by its name: an
 * operator's pin has a name that begins with its tree (as `pinName` makes it), and yields to an admin's of another tree.
 */
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
  /** Why a pin has no effect, whatever its version. */
  objection(record: VerifiedRecord, body: PinBody): string | undefined
}

interface Said extends Versioned {
  readonly body: PinBody
}

export function createPinRecords(authority: Authority): PinRecords {
  const byName = new Map<string, Said[]>()

  function objection(record: VerifiedRecord, body: PinBody, said: readonly Said[]): string | undefined {
    const { tree } = body
    const denied = authority.grantObjection(record, { role: 'operator', may: 'pins', tree })
    if (denied !== undefined || authority.adminObjection(record) === undefined) return denied
    if (!body.name.startsWith(`${tree}@`)) return "the name of an operator's pin begins with its tree and @"
    return said.some(
      (other) => other.body.tree !== tree && authority.adminObjection(other.record) === undefined,
    )
      ? 'an admin has a pin of that name for another tree'
      : undefined
  }

  return {
    learn(record) {
      if (record.content.kind !== 'pin') return
      const { body } = record.content
      pushTo(byName, body.name, { record, body, version: body.version })
    },
    names: () => byName.keys(),
    pin(name) {
      const said = byName.get(name) ?? []
      const last = lastWriter(said.filter(({ record, body }) => objection(record, body, said) === undefined))
      return last === undefined ? undefined : { body: last.body, origin: originOf(last.record) }
    },
    objection: (record, body) => objection(record, body, byName.get(body.name) ?? []),
  }
}
