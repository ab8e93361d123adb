/** Import into an empty store, beside programs that chunk, copy or only read the same source. */
import { type Arena, type Contender, hold } from '../contest.ts'
import type { Source } from '../data.ts'
import type { ContestFigures } from '../markdown.ts'
import { type Compression, importOnce } from '../ours.ts'
import { casyncMake, copiers, hashers } from '../peers.ts'

export async function measureImport(
  arena: Arena,
  source: Source,
  compressions: readonly Compression[],
): Promise<ContestFigures> {
  const ours = compressions.map(
    (compression): Contender => ({
      name: compression === 'none' ? 'mirrormesh import' : `mirrormesh import, ${compression}`,
      work: (own) => importOnce(source.path, own, compression),
    }),
  )
  const label = `import ${source.name}`
  const programs = [...ours, casyncMake(source), ...copiers(source), ...hashers(source)]
  return {
    part: 'import',
    source: source.name,
    files: source.files,
    bytes: source.bytes,
    programs: await hold(arena, { label, ...source }, programs),
  }
}
