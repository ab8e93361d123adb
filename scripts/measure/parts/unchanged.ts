/** A publish of a tree in which nothing changed, up to where it knows that, beside rsync that finds nothing to do between two copies. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type Arena, hold } from '../contest.ts'
import type { Source } from '../data.ts'
import type { ContestFigures } from '../markdown.ts'
import { findUnchangedOnce } from '../ours.ts'
import { run, shell } from '../run.ts'

const GRAIN_MS = 5000

export async function measureUnchanged(arena: Arena, source: Source): Promise<ContestFigures> {
  const setup = join(arena.folder, 'unchanged-setup')
  const [home, copy] = [join(setup, 'home'), join(setup, 'copy')]
  // What is younger than the clock's grain is read again: the source was just made.
  await wait(GRAIN_MS)
  await findUnchangedOnce(source.path, home)
  await run('cp', ['-a', '--reflink=never', source.path, copy])
  const programs = await hold(arena, { label: `unchanged ${source.name}`, ...source }, [
    { name: 'mirrormesh, unchanged', work: () => findUnchangedOnce(source.path, home) },
    { name: 'rsync -a', needs: 'rsync', work: () => run('rsync', ['-a', `${source.path}/`, copy]) },
    // What every program has to do at least.
    { name: 'find -printf', work: () => shell('find "$1" -printf "%s %T@ %p\\n" > /dev/null', source.path) },
  ])
  rmSync(setup, { recursive: true, force: true })
  return { part: 'unchanged', source: source.name, files: source.files, bytes: source.bytes, programs }
}
