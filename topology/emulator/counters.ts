/** What the forwarder counts, by the names of the network. Bytes are IP bytes: headers of IP and TCP included. */
import type { Network } from './network.ts'

export interface PipeCounters {
  readonly bytes: number
  readonly packets: number
  /** For want of room in its queue. */
  readonly dropped: number
  readonly meanWaitMs: number
  readonly maxWaitMs: number
}

export interface PairCounters {
  readonly from: string
  readonly to: string
  readonly sentBytes: number
  readonly sentPackets: number
  readonly arrivedBytes: number
  readonly arrivedPackets: number
  /** Packets, by what became of them. */
  readonly droppedByQueues: number
  readonly lost: number
  readonly cut: number
}

export interface Counters {
  /** By name, `site hq up`; those that carried something. */
  readonly pipes: Readonly<Record<string, PipeCounters>>
  readonly pairs: readonly PairCounters[]
  /** How late packets were delivered against the model: the machine was too busy, and the network slower than asked. */
  readonly lateness: {
    readonly packets: number
    readonly meanUs: number
    readonly maxUs: number
    readonly over1ms: number
    readonly over5ms: number
  }
  /** Packets to no address of the network. */
  readonly unroutable: number
  /** Packets that a device did not take, or for which there was no memory. */
  readonly refused: number
  /** Of the forwarder. */
  readonly cpuSeconds: number
}

type Row = readonly number[]

interface Raw extends Pick<Counters, 'lateness' | 'unroutable' | 'refused' | 'cpuSeconds'> {
  readonly pipes: readonly Row[]
  readonly pairs: readonly Row[]
}

export function readCounters(network: Network, answer: string): Counters {
  const { pipes, pairs, ...rest } = JSON.parse(answer) as Raw
  return {
    ...rest,
    pipes: Object.fromEntries(
      pipes.map(([pipe, bytes, packets, dropped, meanUs, maxUs]) => [
        network.pipes[pipe!]!.name,
        {
          bytes: bytes!,
          packets: packets!,
          dropped: dropped!,
          meanWaitMs: meanUs! / 1000,
          maxWaitMs: maxUs! / 1000,
        },
      ]),
    ),
    pairs: pairs.map((row) => ({
      from: network.sites[row[0]!]!.site,
      to: network.sites[row[1]!]!.site,
      sentBytes: row[2]!,
      sentPackets: row[3]!,
      arrivedBytes: row[4]!,
      arrivedPackets: row[5]!,
      droppedByQueues: row[6]!,
      lost: row[7]!,
      cut: row[8]!,
    })),
  }
}
