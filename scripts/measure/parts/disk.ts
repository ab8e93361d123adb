/** What a site that holds a tree and its check-out takes on the disk, as a multiple of the tree. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Source } from '../data.ts'
import type { DiskFigures } from '../markdown.ts'
import { type Compression, checkOutOnce, importOnce } from '../ours.ts'
import { run } from '../run.ts'

export async function measureDisk(
  folder: string,
  source: Source,
  compressions: readonly Compression[],
): Promise<DiskFigures[]> {
  const figures: DiskFigures[] = []
  const treeMB = await diskMB(source.path)
  for (const compression of compressions) {
    const site = join(folder, 'disk-site')
    const home = join(site, 'home')
    const { snapshot } = await importOnce(source.path, home, compression)
    const storeMB = await diskMB(home)
    await checkOutOnce(home, snapshot, join(site, 'copy'))
    const siteMB = await diskMB(site)
    figures.push({ source: source.name, compression, treeMB, storeMB, siteMB, ratio: siteMB / treeMB })
    rmSync(site, { recursive: true, force: true })
  }
  return figures
}

/** Files of several names count once, holes not at all. */
async function diskMB(path: string): Promise<number> {
  await run('sync', ['-f', path])
  const { stdout } = await run('du', ['-s', '--block-size=1', path])
  return Number(stdout.split('\t')[0]) / 1e6
}
