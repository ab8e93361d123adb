/**
 * What is said of sites, by name: the last writer's. An operator who may drain says so here too, but labels decide which
 * pins mean a site: those are the ones of the last admin's record.
 */
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
      const said = byName.get(name) ?? []
      const last = lastWriter(said.filter(({ record }) => siteObjection(record, authority) === undefined))
      if (last === undefined) return undefined
      const byAdmin = lastWriter(said.filter(({ record }) => authority.adminObjection(record) === undefined))
      return { body: { ...last.body, labels: byAdmin?.body.labels ?? [] }, origin: originOf(last.record) }
    },
  }
}

/** Why the record says nothing of a site, whatever its version. */
export function siteObjection(record: VerifiedRecord, authority: Authority): string | undefined {
  return authority.grantObjection(record, { role: 'operator', may: 'drains', tree: undefined })
}
