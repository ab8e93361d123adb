/** Check-out to an empty folder, beside copies of the source. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Arena, type Contender, hold } from '../contest.ts'
import type { Source } from '../data.ts'
import type { ContestFigures } from '../markdown.ts'
import { type Compression, checkOutOnce, importOnce } from '../ours.ts'
import { casyncExtract, casyncMake, copiers } from '../peers.ts'
import { hasProgram } from '../run.ts'

export async function measureCheckout(
  arena: Arena,
  source: Source,
  compressions: readonly Compression[],
): Promise<ContestFigures> {
  const setup = join(arena.folder, 'checkout-setup')
  const ours: Contender[] = []
  for (const compression of compressions) {
    const home = join(setup, compression)
    const { snapshot } = await importOnce(source.path, home, compression)
    ours.push({
      name: compression === 'none' ? 'mirrormesh checkout' : `mirrormesh checkout, ${compression}`,
      work: (own) => checkOutOnce(home, snapshot, join(own, 'copy')),
    })
  }
  const casync = casyncMake(source)
  const made = join(setup, 'casync')
  if (hasProgram(casync.needs!)) {
    mkdirSync(made)
    await casync.work(made)
  }
  const programs = await hold(arena, { label: `checkout ${source.name}`, ...source }, [
    ...ours,
    ...copiers(source),
    casyncExtract(source, made),
  ])
  rmSync(setup, { recursive: true, force: true })
  return { part: 'checkout', source: source.name, files: source.files, bytes: source.bytes, programs }
}
