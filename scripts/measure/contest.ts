/**
 * Programs that do the same work, side by side. Each round runs all of them once, every other round in the opposite
 * order, so that a machine whose speed drifts is fair to all; a first round warms the page cache and is not counted.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { ProgramFigures } from './markdown.ts'
import { type Cost, hasProgram, median, run } from './run.ts'

export interface Contender {
  readonly name: string
  /** The ordinary program that has to be installed. */
  readonly needs?: string
  /** Brings `folder` to where the work starts; not timed. */
  readonly prepare?: (folder: string) => Promise<unknown>
  /** The work. Everything it writes goes below `folder`, which is its own and of this round. */
  readonly work: (folder: string) => Promise<Cost>
}

export interface Arena {
  readonly folder: string
  readonly rounds: number
  /**
   * Keep what was written until the contest is over: some file systems search their way past every inode that was freed
   * in the last minute each time they make a file (70 us a file after 40,000 removals, measured on ext4 without a journal).
   */
  readonly keepsTrees: boolean
  /** Told of programs that are not installed. */
  readonly missing: Set<string>
}

/** @returns figures by program; ratios are to the first contender, which is ours */
export async function hold(
  { folder, rounds, keepsTrees, missing }: Arena,
  what: { readonly label: string; readonly files: number; readonly bytes: number },
  contenders: readonly Contender[],
): Promise<Record<string, ProgramFigures>> {
  const able = contenders.filter(({ needs }) => {
    if (needs === undefined || hasProgram(needs)) return true
    missing.add(needs)
    return false
  })
  const costs = new Map<string, Cost[]>(able.map(({ name }) => [name, []]))
  const place = join(folder, what.label.replaceAll(/[^a-z0-9]+/g, '-'))
  for (let round = 0; round <= rounds; round++) {
    for (const { name, prepare, work } of round % 2 === 0 ? able : able.toReversed()) {
      const own = join(place, `${round}-${able.findIndex((contender) => contender.name === name)}`)
      mkdirSync(own, { recursive: true })
      await prepare?.(own)
      // What one program left for the disk to write is not the next one's to wait for.
      await run('sync', ['-f', folder])
      const cost = await work(own)
      process.stderr.write(
        `  ${what.label}, ${round === 0 ? 'warming' : `round ${round}`}, ${name}: ${cost.seconds.toFixed(2)} s\n`,
      )
      if (round > 0) costs.get(name)!.push(cost)
      if (!keepsTrees) rmSync(own, { recursive: true, force: true })
    }
  }
  rmSync(place, { recursive: true, force: true })
  return Object.fromEntries(
    [...costs].map(([name, list]) => [name, figures(list, costs.get(able[0]!.name)!, what)]),
  )
}

function figures(
  costs: readonly Cost[],
  ours: readonly Cost[],
  { files, bytes }: { readonly files: number; readonly bytes: number },
): ProgramFigures {
  const seconds = median(costs.map((cost) => cost.seconds))
  return {
    seconds: round(seconds),
    MBps: Math.round(bytes / 1e6 / seconds),
    filesPerSecond: Math.round(files / seconds),
    ratio: round(median(costs.map((cost, index) => cost.seconds / ours[index]!.seconds))),
    cpuSeconds: round(median(costs.map((cost) => cost.cpuSeconds))),
    peakMB: Math.round(Math.max(...costs.map((cost) => cost.peakMB))),
    writtenMB: Math.round(median(costs.map((cost) => cost.writtenMB))),
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
