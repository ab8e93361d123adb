/** Which handler an address is for. What is not asked for by a word of its own is a path of a tree. */
import type { Clock } from '../../src/base/clock.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import type { KeyValue } from '../../src/store/index/key-value.ts'
import type { Topology } from '../../src/topology/topology.ts'
import { createFileDescriber } from './describe-file.ts'
import { createDigests } from './digests.ts'
import type { GatewayLog } from './gateway-log.ts'
import { createHotAnswers, type HotAnswers } from './hot-answers.ts'
import { createKeptDigests } from './kept-digests.ts'
import { createMemberRoutes, type MemberRoutesComponents } from './member-routes.ts'
import { createMirrorHandlers } from './mirror-handler.ts'
import { createMirrors } from './mirrors.ts'
import { createSha256Thread } from './sha256-thread.ts'
import { createTreeHandler, type Handler } from './tree-handler.ts'
import { createTreeLookup, type TreeLookupComponents, type TreeLookupOptions } from './tree-lookup.ts'
import { createTrustlessHandler, type TrustlessComponents } from './trustless-handler.ts'
import type { Catalogue } from './version.ts'

export interface RouteComponents extends TreeLookupComponents, TrustlessComponents {
  readonly catalogue: Catalogue
  readonly readStatus: () => StatusDocument
  readonly readTopology: () => Topology
  readonly clock: Clock
  /** Where digests of files outlive the program; absent: nowhere. */
  readonly digestValues?: KeyValue | undefined
  readonly log: GatewayLog
  /** What machines outside of the mesh fetch with; absent: nothing of it. */
  readonly outside?: MemberRoutesComponents | undefined
}

export interface RouteOptions extends TreeLookupOptions {
  readonly isSecure: boolean
}

export interface Routes {
  readonly handle: Handler
  /** Answers at once what it can. */
  readonly hot: Pick<HotAnswers, 'send'>
  close(): Promise<void>
}

export function createRoutes(components: RouteComponents, { isSecure, ...options }: RouteOptions): Routes {
  const { scratch, catalogue, clock, log } = components
  const lookup = createTreeLookup(components, options)
  const mirrors = createMirrors(components)
  const kept = createKeptDigests({ values: components.digestValues, log })
  const thread = createSha256Thread({ clock })
  const loaded = kept.load()
  const digests = createDigests({ kept, thread, loaded })
  const describer = createFileDescriber({ mirrors, digests })
  const hot = createHotAnswers({ catalogue, describer, onShown: lookup.noteShown })
  const mirrorHandlers = createMirrorHandlers({ mirrors, lookup, digests, isSecure })
  const handleTree = createTreeHandler({ lookup, scratch, describer, hot })
  const trustless = createTrustlessHandler(components)
  const memberRoutes = components.outside && createMemberRoutes(components.outside)
  return {
    hot,
    async close() {
      await thread.close()
      await loaded
      await kept.flush()
    },
    handle(request, response, target, options) {
      const { rights } = options
      const handle =
        memberRoutes?.(target) ??
        mirrorHandlers.handlerOf(target, rights) ??
        trustless(target, rights) ??
        handleTree
      return handle(request, response, target, options)
    },
  }
}
