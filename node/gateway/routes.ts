/** Which handler an address is for. What is not asked for by a word of its own is a path of a tree. */
import type { Clock } from '../../src/base/clock.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import type { Topology } from '../../src/topology/topology.ts'
import { createDigests } from './digests.ts'
import { createMemberRoutes, type MemberRoutesComponents } from './member-routes.ts'
import { createMirrorHandlers } from './mirror-handler.ts'
import { createMirrors } from './mirrors.ts'
import { createTreeHandler, type Handler } from './tree-handler.ts'
import { createTreeLookup, type TreeLookupComponents, type TreeLookupOptions } from './tree-lookup.ts'
import { createTrustlessHandler, type TrustlessComponents } from './trustless-handler.ts'

export interface RouteComponents extends TreeLookupComponents, TrustlessComponents {
  readonly readStatus: () => StatusDocument
  readonly readTopology: () => Topology
  readonly clock: Clock
  /** What machines outside of the mesh fetch with; absent: nothing of it. */
  readonly outside?: MemberRoutesComponents | undefined
}

export interface RouteOptions extends TreeLookupOptions {
  readonly isSecure: boolean
}

export function createRoutes(components: RouteComponents, { isSecure, ...options }: RouteOptions): Handler {
  const { scratch } = components
  const lookup = createTreeLookup(components, options)
  const mirrors = createMirrorHandlers({
    mirrors: createMirrors(components),
    lookup,
    digests: createDigests(),
    isSecure,
  })
  const handleTree = createTreeHandler({ lookup, scratch, describeFile: mirrors.describeFile })
  const trustless = createTrustlessHandler(components)
  const memberRoutes = components.outside && createMemberRoutes(components.outside)
  return (request, response, target, options) => {
    const { rights } = options
    const handle =
      memberRoutes?.(target) ?? mirrors.handlerOf(target, rights) ?? trustless(target, rights) ?? handleTree
    return handle(request, response, target, options)
  }
}
