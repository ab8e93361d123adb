/** How blocks get from one simulated site to another: requests travel, are answered block by block, and arrive. */
import type { SchedulerCommand, SchedulerEvent } from '../../src/replica/scheduler/types.ts'
import { createFlow, type Flow, PARCEL_BYTES, type Parcel } from './flow.ts'
import { holdsBlock, isFar, isPaused, type Node, wants } from './node.ts'
import type { Pipe } from './pipes.ts'
import { ENDS } from './processors.ts'
import type { SimulatedEvent } from './simulation.ts'
import { type Give, oneWayMs, routeOf, type World } from './world.ts'

type RequestCommand = Extract<SchedulerCommand, { kind: 'request' }>

export interface Serving {
  ask(node: Node, source: Node, command: RequestCommand): void
  /** What was under way from or to the site is gone. */
  close(node: Node): void
  breakFlow(from: Node, to: Node): void
  /** The site's process runs again. */
  resume(node: Node): void
  /** Paths were cut or mended. */
  refreshCuts(): void
  setRates(node: Node, rates: Extract<SimulatedEvent, { kind: 'rate' }>): void
  readonly wanBytes: { readonly into: Map<string, number>; readonly outOf: Map<string, number> }
  /** Of blocks, that passed a third site. */
  relayedBytes(): number
  blockCounts(): { readonly blocksSent: number; readonly blocksSentInVain: number }
  originBlocks(): { readonly originBlocksSent: number; readonly originBlocksSentMoreThanOnce: number }
}

export function createServing(
  world: World,
  give: Give,
  onBlock: (node: Node, page: number, offset: number) => void,
): Serving {
  const { queue, pipes, layout, cuts } = world
  const { overhead = 1, processors: { blockMs } = { blockMs: 0 } } = world.simulation
  let relayedBytes = 0
  const flows = new Map<Node, Map<Node, Flow>>()
  const sentByOrigin = new Uint16Array(layout.blocks)
  const wanBytes = { into: new Map<string, number>(), outOf: new Map<string, number>() }
  let blocksSent = 0
  let blocksOfUse = 0
  const ownBounds = new Map<Node, Pipe>()
  /** On their way over a path that is cut: sent again and again, until the connection is given up. */
  let held: {
    readonly node: Node
    readonly life: number
    readonly source: Node
    readonly command: RequestCommand
  }[] = []

  function flowOf(from: Node, to: Node): Flow {
    let known = flows.get(from)
    if (known === undefined) {
      known = new Map()
      flows.set(from, known)
    }
    let flow = known.get(to)
    if (flow === undefined) {
      flow = newFlow(from, to)
      known.set(to, flow)
    }
    return flow
  }

  function newFlow(from: Node, to: Node): Flow {
    const { life } = to
    const delayMs = oneWayMs(world, from, to)
    return createFlow({
      queue,
      route: [...routeOf(world, from, to), ...ownBound(from, to)],
      oneWayMs: delayMs,
      overhead,
      // The source learns of a cancelled request when the word has travelled.
      isHeld: () => isPaused(from, queue),
      isWanted: ({ request }) =>
        queue.nowMs() < (to.cancelledMs.get(request) ?? Number.POSITIVE_INFINITY) + delayMs,
      onSent: (parcel) => noteSent(from, to, parcel),
      onArrival: (parcel) => {
        afterWork(parcel.offsets.length, () => {
          if (to.isAlive && to.life === life) arrive(from, to, parcel)
        })
      },
    })
  }

  function ownBound(from: Node, to: Node): Pipe[] {
    const { wanBytesPerSecond } = to.spec
    if (wanBytesPerSecond === undefined || !isFar(from, to)) return []
    let pipe = ownBounds.get(to)
    if (pipe === undefined) {
      pipe = { bytesPerMs: wanBytesPerSecond / 1000, freeMs: 0, flows: 0, bytes: 0 }
      ownBounds.set(to, pipe)
    }
    return [pipe]
  }

  function noteSent(from: Node, to: Node, { page, offsets, bytes }: Parcel): void {
    from.bytesSent += bytes
    blocksSent += offsets.length
    if (from.doneMs === undefined) from.bytesSentBeforeComplete += bytes
    if (!wants(from)) for (const offset of offsets) sentByOrigin[layout.blockOf(page, offset)]!++
    if (!isFar(from, to)) return
    const relay = world.relays.between(from, to)
    if (relay === undefined) addWan(from, to, bytes)
    else {
      relayedBytes += bytes
      addWan(from, relay, bytes)
      addWan(relay, to, bytes)
    }
    to.wanBytes += bytes
  }

  function addWan(from: Node, to: Node, bytes: number): void {
    if (!isFar(from, to)) return
    add(wanBytes.outOf, from.place.region, bytes)
    add(wanBytes.into, to.place.region, bytes)
  }

  /** Runs `task` when a processor has done what the blocks cost at one end. */
  function afterWork(blocks: number, task: () => void): void {
    const { processors } = world
    if (processors === undefined || blockMs === 0) task()
    else queue.at(processors.doneMs(queue.nowMs(), (blocks * blockMs) / ENDS), { run: task })
  }

  function arrive(from: Node, to: Node, { request, page, offsets, bytes }: Parcel): void {
    if (to.cancelledMs.has(request)) return
    if (from.serves === 'wrong') {
      give(to, failures(request, page, offsets, 'corrupt'))
      return
    }
    to.bytesFrom.set(from.spec.site, (to.bytesFrom.get(from.spec.site) ?? 0) + bytes)
    for (const offset of offsets) {
      if (!holdsBlock(to, layout.blockOf(page, offset))) blocksOfUse++
      onBlock(to, page, offset)
    }
    give(
      to,
      offsets.map((offset) => ({ kind: 'received', request, page, offset })),
    )
  }

  function serve(node: Node, source: Node, command: RequestCommand): void {
    const { request, page, offsets } = command
    if (!source.isAlive || source.serves === 'nothing') return
    if (isPaused(source, queue)) {
      const { life } = node
      queue.at(source.pausedUntilMs, {
        run() {
          if (node.isAlive && node.life === life) serve(node, source, command)
        },
      })
      return
    }
    const flow = flowOf(source, node)
    const missing: number[] = []
    let parcel: number[] = []
    let bytes = 0
    const send = (): void => {
      const sent = { request, page, offsets: parcel, bytes }
      if (parcel.length > 0) afterWork(parcel.length, () => flow.send(sent))
      parcel = []
      bytes = 0
    }
    for (const offset of offsets) {
      if (!holdsBlock(source, layout.blockOf(page, offset))) {
        missing.push(offset)
        continue
      }
      const length = layout.pages[page]![offset]!
      if (bytes + length > PARCEL_BYTES) send()
      parcel.push(offset)
      bytes += length
    }
    send()
    if (missing.length === 0) return
    queue.after(oneWayMs(world, source, node), () => {
      if (!node.cancelledMs.has(request) && !cuts.isCut(source, node))
        give(node, failures(request, page, missing, 'missing'))
    })
  }

  function eachFlow(visit: (flow: Flow, from: Node, to: Node) => void): void {
    for (const [from, known] of flows) for (const [to, flow] of known) visit(flow, from, to)
  }

  function drop(from: Node, to: Node): void {
    flows.get(from)?.get(to)?.close()
    flows.get(from)?.delete(to)
  }

  return {
    wanBytes,
    ask(node, source, command) {
      const { life } = node
      queue.after(oneWayMs(world, source, node), () => {
        if (!node.isAlive || node.life !== life) return
        if (cuts.isCut(source, node)) held.push({ node, life, source, command })
        else serve(node, source, command)
      })
    },
    close(node) {
      eachFlow((_, from, to) => {
        if (from === node || to === node) drop(from, to)
      })
    },
    breakFlow(from, to) {
      drop(from, to)
      held = held.filter(({ source, node }) => source !== from || node !== to)
    },
    resume(node) {
      for (const [to, flow] of flows.get(node) ?? []) if (!cuts.isCut(node, to)) flow.mend()
    },
    refreshCuts() {
      eachFlow((flow, from, to) => {
        if (cuts.isCut(from, to)) flow.cut()
        else flow.mend()
      })
      const again = held
      held = []
      for (const request of again) {
        const { node, life, source, command } = request
        if (cuts.isCut(source, node)) held.push(request)
        else if (node.isAlive && node.life === life) serve(node, source, command)
      }
    },
    setRates(node, { upBytesPerSecond, downBytesPerSecond }) {
      if (upBytesPerSecond !== undefined) pipes.siteUp(node.place.site).bytesPerMs = upBytesPerSecond / 1000
      if (downBytesPerSecond !== undefined)
        pipes.siteDown(node.place.site).bytesPerMs = downBytesPerSecond / 1000
    },
    relayedBytes: () => relayedBytes,
    blockCounts: () => ({ blocksSent, blocksSentInVain: blocksSent - blocksOfUse }),
    originBlocks() {
      let [once, more] = [0, 0]
      for (const times of sentByOrigin) {
        if (times > 0) once++
        if (times > 1) more++
      }
      return { originBlocksSent: once, originBlocksSentMoreThanOnce: more }
    },
  }
}

function failures(
  request: number,
  page: number,
  offsets: readonly number[],
  reason: 'corrupt' | 'missing',
): SchedulerEvent[] {
  return offsets.map((offset) => ({ kind: 'failed', request, page, offset, reason }))
}

function add(sums: Map<string, number>, key: string, bytes: number): void {
  sums.set(key, (sums.get(key) ?? 0) + bytes)
}
