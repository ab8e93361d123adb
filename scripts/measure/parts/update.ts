/** A check-out (or a copy) of one state is brought to the next, in which 2 % of the files changed. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Arena, hold } from '../contest.ts'
import { changeFiles, type Source } from '../data.ts'
import type { ContestFigures } from '../markdown.ts'
import { checkOutOnce, importOnce } from '../ours.ts'
import { run } from '../run.ts'

const EVERY = 50

export async function measureUpdate(arena: Arena, source: Source): Promise<ContestFigures> {
  const setup = join(arena.folder, 'update-setup')
  const [home, next] = [join(setup, 'home'), join(setup, 'next')]
  const first = await importOnce(source.path, home)
  await run('cp', ['-a', '--reflink=never', source.path, next])
  const changed = changeFiles(next, EVERY)
  const second = await importOnce(next, home)
  const copy = (own: string): Promise<unknown> =>
    run('cp', ['-a', '--reflink=never', source.path, join(own, 'copy')])
  const rsync = (...options: readonly string[]) => ({
    name: ['rsync -a --delete', ...options].join(' '),
    needs: 'rsync',
    prepare: copy,
    work: (own: string) => run('rsync', ['-a', '--delete', ...options, `${next}/`, join(own, 'copy')]),
  })
  const programs = await hold(arena, { label: `update ${source.name}`, ...source }, [
    {
      name: 'mirrormesh checkout',
      prepare: (own) => checkOutOnce(home, first.snapshot, join(own, 'copy')),
      work: (own) => checkOutOnce(home, second.snapshot, join(own, 'copy')),
    },
    rsync(),
    rsync('--fsync'),
  ])
  rmSync(setup, { recursive: true, force: true })
  return { part: 'update', source: source.name, files: source.files, bytes: source.bytes, changed, programs }
}
