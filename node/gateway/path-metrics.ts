/** What /metrics shows of the paths to sites of other regions: the queues on them, and what is given way to. */
import { Gauge, type Registry } from 'prom-client'
import type { PathState } from '../../src/net/path-pacer.ts'

export interface SitePath extends PathState {
  readonly site: string
}

const FIGURES: readonly (readonly [string, string, (path: SitePath) => number | undefined])[] = [
  [
    'path_round_trip_seconds',
    'Round trip to a site of another region, as TCP measures it',
    ({ rttMs }) => rttMs / 1000,
  ],
  [
    'path_queue_seconds',
    'Of it, what is over the smallest of the last minutes',
    ({ queueMs }) => queueMs / 1000,
  ],
  [
    'path_bound_bytes_per_second',
    'What is sent to the site at most, so that other traffic has its room; absent while nothing bounds it',
    ({ bytesPerSecond }) => bytesPerSecond,
  ],
  [
    'path_giving_way',
    '1 while other traffic on the path has its room',
    ({ isYielding }) => Number(isYielding),
  ],
]

export function registerPathMetrics(registry: Registry, readPaths: () => readonly SitePath[]): void {
  for (const [name, help, read] of FIGURES)
    new Gauge({
      name: `mirrormesh_${name}`,
      help,
      labelNames: ['site'] as const,
      registers: [registry],
      collect() {
        this.reset()
        for (const path of readPaths()) {
          const value = read(path)
          if (value !== undefined) this.set({ site: path.site }, value)
        }
      },
    })
}
