/** What `zstd --patch-from` makes of two folders: of their tars, in the order of names. */
import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.ts'

export interface PatchFigures {
  readonly bytes: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly peakMB: number
}

export async function patchFrom({
  held,
  wanted,
  work,
}: {
  readonly held: string
  readonly wanted: string
  readonly work: string
}): Promise<PatchFigures> {
  const [from, to, patch] = ['held.tar', 'wanted.tar', 'patch.zst'].map((name) => join(work, name)) as [
    string,
    string,
    string,
  ]
  try {
    for (const [folder, tar] of [
      [held, from],
      [wanted, to],
    ] as const)
      await run('tar', ['-C', folder, '--sort=name', '-cf', tar, '.'])
    const { seconds, cpuSeconds, peakMB } = await run('zstd', [
      ...['-q', '-f', '-15', '--long=31', `--patch-from=${from}`],
      ...[to, '-o', patch],
    ])
    return { bytes: statSync(patch).size, seconds, cpuSeconds, peakMB }
  } finally {
    for (const file of [from, to, patch]) rmSync(file, { force: true })
  }
}
