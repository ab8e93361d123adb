/** What a scheduler is told in its tests, in short. */
import type { Scheduler } from '../../src/replica/scheduler/scheduler.ts'
import { createScheduler } from '../../src/replica/scheduler/scheduler.ts'
import type { SchedulerCommand, SchedulerEvent } from '../../src/replica/scheduler/types.ts'

export const KiB = 1024
const key = new Uint8Array(32).fill(7)

export function peer(name: string, region: string, wants = true, isConnected = true): SchedulerEvent {
  return { kind: 'peer', peer: name, place: { site: name, region }, wants, isConnected }
}

export function page(number: number, blocks: number, lengthBytes = 64 * KiB): SchedulerEvent {
  const lengths = Array.from({ length: blocks }, () => lengthBytes)
  return { kind: 'page', page: number, key, lengths, has: lengths.map(() => false) }
}

export function start(snapshotBytes: number): Scheduler {
  return createScheduler({ self: { site: 'me', region: 'west' }, snapshotBytes })
}

export const requestsOf = (commands: readonly SchedulerCommand[]) =>
  commands.filter((command) => command.kind === 'request')
