/** Blocks between two processes on loopback, both encryptions in turn, once a round. */
import { join } from 'node:path'
import type { TransferFigures } from '../markdown.ts'
import { median, run } from '../run.ts'

interface Transferred {
  readonly security: string
  readonly megabytesPerSecond: number
  readonly clientCpuSecondsPerGigabyte: number
  readonly serverCpuSecondsPerGigabyte: number
  readonly peakRssMegabytes: number
}

export async function measureTransfer(
  rounds: number,
  megabytes: number,
): Promise<Record<string, TransferFigures>> {
  const runs = new Map<string, Transferred[]>()
  const script = join(import.meta.dirname, '..', 'transfer.ts')
  for (let round = 0; round < rounds; round++) {
    const { output } = await run(process.execPath, [script, '--megabytes', `${megabytes}`])
    for (const result of (output as { results: Transferred[] }).results) {
      runs.set(result.security, [...(runs.get(result.security) ?? []), result])
      process.stderr.write(`  transfer ${result.security}: ${result.megabytesPerSecond} MB/s\n`)
    }
  }
  const of = (list: readonly Transferred[], what: keyof Omit<Transferred, 'security'>): number =>
    Math.round(median(list.map((result) => result[what])) * 100) / 100
  return Object.fromEntries(
    [...runs].map(([security, list]) => [
      security,
      {
        MBps: Math.round(of(list, 'megabytesPerSecond')),
        clientCpuSecondsPerGB: of(list, 'clientCpuSecondsPerGigabyte'),
        serverCpuSecondsPerGB: of(list, 'serverCpuSecondsPerGigabyte'),
        peakMB: Math.max(...list.map(({ peakRssMegabytes }) => peakRssMegabytes)),
      },
    ]),
  )
}
