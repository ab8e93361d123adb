/** What the status document says of requests to join: each as the member tells that it was made at. */
import type { PendingRequest } from './join-requests.ts'
import { type HeardSite, type StatusSources, silentAfterMs } from './status.ts'

/** A newcomer that waits for an admin. */
export interface RequestStatus extends PendingRequest {
  /** The member that it asked. */
  readonly via: string
  readonly viaSite: string
}

/** Of a newcomer that is a member by now, somebody else's word may be older than ours. */
export function requestsOf({ self, members, heard, requests = [] }: StatusSources): RequestStatus[] {
  // A site that is silent may have let them in, or lost them, long ago.
  const fresh = (last: HeardSite | undefined) =>
    last !== undefined && last.ageMs <= silentAfterMs(members.length) ? last : undefined
  const said = members.flatMap(({ peer, site }) =>
    (peer === self.peer ? requests : (fresh(heard.get(peer))?.announcement.requests ?? [])).map(
      (request) => ({
        ...request,
        via: peer,
        viaSite: site,
      }),
    ),
  )
  const known = new Set(members.map(({ peer }) => peer))
  return said
    .filter(({ peer }) => !known.has(peer))
    .toSorted((a, b) => a.sinceMs - b.sinceMs || compareText(a.peer, b.peer))
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
