/** What is said of sites, by name: the last writer's. */
import type { SiteBody } from '../kinds/site.ts'
import type { DeclaredSite } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import type { Authority } from './authority.ts'
import { pushTo } from './chains.ts'
import { lastWriter, type Versioned } from './last-writer.ts'
import { originOf } from './origin.ts'

export interface SiteRecords {
  learn(record: VerifiedRecord): void
  names(): Iterable<string>
  site(name: string): DeclaredSite | undefined
}

export function createSiteRecords(authority: Authority): SiteRecords {
  const byName = new Map<string, (Versioned & { readonly body: SiteBody })[]>()
  return {
    learn(record) {
      if (record.content.kind !== 'site') return
      const { body } = record.content
      pushTo(byName, body.site, { record, body, version: body.version })
    },
    names: () => byName.keys(),
    site(name) {
      const last = lastWriter(
        (byName.get(name) ?? []).filter(({ record }) => authority.adminObjection(record) === undefined),
      )
      return last === undefined ? undefined : { body: last.body, origin: originOf(last.record) }
    },
  }
}
