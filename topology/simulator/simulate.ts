/**
 * The swarm under a virtual clock: the scheduler that the daemon runs, one for each site, over modelled links. Nothing
 * here decides what is fetched from whom: that is the scheduler's, and is what gets tested and measured.
 *
 * Not modelled: packets, losses, jitter, slow starts, disks. Blocks are taken to be stored at once; processors cost time only where
 * the simulation says how much.
 */
import { isReachable, NO_TOPOLOGY } from '../../src/topology/topology.ts'
import { createCuts } from './cuts.ts'
import { createEventQueue } from './event-queue.ts'
import { createHappenings } from './happenings.ts'
import { layOut } from './layout.ts'
import { createSimulatedNode, wants } from './node.ts'
import { connectAll } from './peers.ts'
import { createPipes } from './pipes.ts'
import { createProcessors } from './processors.ts'
import { createRelays } from './relays.ts'
import { createRunning } from './running.ts'
import { createServing, type Serving } from './serving.ts'
import type { Simulation, SimulationResult } from './simulation.ts'
import { createTelling } from './telling.ts'
import type { World } from './world.ts'

export function simulate(simulation: Simulation): SimulationResult {
  const world = createWorld(simulation)
  const all = [...world.nodes.values()]
  const { maxFarPeers = 78, maxFarWatches = 24 } = simulation
  connectAll(all, world.relays, { maxFarPeers, maxFarWatches })
  const give = createRunning(world, () => ({ telling, serving }))
  const telling = createTelling(world, give)
  const serving = createServing(world, give, telling.blockStored)
  createHappenings(world, give, telling, serving).plan()

  const { queue } = world
  let second = 1
  while (world.openSites > 0 && queue.runNext(simulation.limitMs)) {
    if (simulation.onSecond === undefined || queue.nowMs() < second * 1000) continue
    simulation.onSecond(queue.nowMs(), all.filter((node) => wants(node) && node.doneMs !== undefined).length)
    second = Math.floor(queue.nowMs() / 1000) + 1
  }
  return resultOf(world, serving)
}

function createWorld(simulation: Simulation): World {
  const layout = layOut(simulation.pages)
  const { topology = NO_TOPOLOGY, processors } = simulation
  const nodes = new Map(
    simulation.sites.map((spec) => [spec.site, createSimulatedNode(spec, layout, simulation)]),
  )
  const relays = createRelays([...nodes.values()], ({ place }) => isReachable(topology, place.site))
  return {
    simulation,
    layout,
    queue: createEventQueue(),
    pipes: createPipes(topology, {
      wanBytesPerSecond: simulation.wanBytesPerSecond ?? Number.POSITIVE_INFINITY,
      lanBytesPerSecond: simulation.lanBytesPerSecond,
      wanRttMs: simulation.wanRttMs,
      lanRttMs: simulation.lanRttMs ?? 1,
    }),
    cuts: createCuts(relays),
    relays,
    processors: processors && createProcessors(processors.count),
    nodes,
    openSites: 0,
    counts: { requests: 0, cancels: 0, announcements: 0, schedulerMs: 0 },
  }
}

function resultOf(world: World, serving: Serving): SimulationResult {
  const { layout, nodes, queue, counts } = world
  const regions = [...new Set([...nodes.values()].map(({ place }) => place.region))]
  const bytesOf = (sums: ReadonlyMap<string, number>): Map<string, number> =>
    new Map(regions.map((region) => [region, sums.get(region) ?? 0]))
  const { schedulerMs, ...messages } = counts
  return {
    snapshotBytes: layout.bytes,
    blocks: layout.blocks,
    sites: nodes,
    wanBytesInto: bytesOf(serving.wanBytes.into),
    wanBytesOutOf: bytesOf(serving.wanBytes.outOf),
    originBytesSent: [...nodes.values()].reduce((sum, node) => sum + (wants(node) ? 0 : node.bytesSent), 0),
    relayedBytes: serving.relayedBytes(),
    ...serving.originBlocks(),
    ...serving.blockCounts(),
    ...messages,
    endedMs: queue.nowMs(),
    schedulerSeconds: schedulerMs / 1000,
  }
}
