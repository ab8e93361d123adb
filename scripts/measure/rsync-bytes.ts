/** What rsync sends to turn a copy of one folder into another: from its own `--stats`. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { run, shell } from './run.ts'

export interface RsyncBytes {
  /** "Total bytes sent": file list, references to old blocks, and literal data, by the side that has the new build. */
  readonly sentBytes: number
  /** "Total bytes received": checksums of the blocks of the old files, mostly. */
  readonly receivedBytes: number
  readonly literalBytes: number
  readonly seconds: number
  /** Of both sides, which run on one machine. */
  readonly cpuSeconds: number
  /** Files that are still not those of the new build: of equal size and mtime, so that rsync did not look into them. */
  readonly missedFiles: number
}

export async function rsyncBytes(
  { held, wanted, work }: { held: string; wanted: string; work: string },
  options: readonly string[],
): Promise<RsyncBytes> {
  const copy = join(work, 'rsync-copy')
  try {
    await run('cp', ['-a', held, copy])
    const { seconds, cpuSeconds, stdout } = await run('rsync', [
      ...['-a', '--no-whole-file', '--delete', '--stats', ...options],
      `${wanted}/`,
      `${copy}/`,
    ])
    const left = await shell(
      'rsync -an --checksum --itemize-changes "$1/" "$2/" | grep -c "^>f" || true',
      wanted,
      copy,
    )
    return {
      sentBytes: statistic(stdout, 'Total bytes sent'),
      receivedBytes: statistic(stdout, 'Total bytes received'),
      literalBytes: statistic(stdout, 'Literal data'),
      seconds,
      cpuSeconds,
      missedFiles: Number(left.stdout),
    }
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

function statistic(stdout: string, name: string): number {
  const found = new RegExp(`^${name}: ([0-9,]+)`, 'm').exec(stdout)?.[1]
  if (found === undefined) throw new Error(`rsync --stats said nothing of "${name}":\n${stdout}`)
  return Number(found.replaceAll(',', ''))
}
