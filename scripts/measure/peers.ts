/** The ordinary programs that mirrormesh is measured beside, as contenders. */
import { join } from 'node:path'
import type { Contender } from './contest.ts'
import type { Source } from './data.ts'
import { run, shell } from './run.ts'

/** Reads the source and keeps nothing. */
export function hashers({ path, largeFile, files }: Source): Contender[] {
  const atATime = String(Math.min(1000, Math.ceil(files / 2)))
  const each = (name: string, command: string): Contender => ({
    name,
    needs: command.split(' ')[0]!,
    work: () =>
      shell('find "$1" -type f -print0 | xargs -0 -P 2 -n "$3" $2 > /dev/null', path, command, atATime),
  })
  if (largeFile === undefined) return [each('sha256sum, 2 at once', 'sha256sum'), each('b3sum', 'b3sum')]
  return [
    {
      name: 'openssl dgst -sha256',
      needs: 'openssl',
      work: () => run('openssl', ['dgst', '-sha256', largeFile]),
    },
    { name: 'b3sum', needs: 'b3sum', work: () => run('b3sum', [largeFile]) },
  ]
}

/** Makes a second copy of the source in an empty folder. */
export function copiers({ path }: Pick<Source, 'path'>): Contender[] {
  return [
    { name: 'rsync -a', needs: 'rsync', work: (own) => run('rsync', ['-a', `${path}/`, join(own, 'copy')]) },
    {
      name: 'rsync -a --fsync',
      needs: 'rsync',
      work: (own) => run('rsync', ['-a', '--fsync', `${path}/`, join(own, 'copy')]),
    },
    { name: 'cp -a', work: (own) => run('cp', ['-a', '--reflink=never', path, join(own, 'copy')]) },
    {
      name: 'cp -a; sync',
      work: (own) => shell('cp -a --reflink=never "$1" "$2" && sync -f "$2"', path, join(own, 'copy')),
    },
  ]
}

/** Chunks the source into a store of its own, as mirrormesh does; nothing of it is synced. */
export function casyncMake({ path, largeFile }: Source): Contender {
  return {
    name: 'casync make',
    needs: 'casync',
    work: (own) =>
      run('casync', [
        'make',
        `--store=${join(own, 'store.castr')}`,
        join(own, largeFile === undefined ? 'tree.caidx' : 'file.caibx'),
        largeFile ?? path,
      ]),
  }
}

export function casyncExtract({ largeFile }: Source, made: string): Contender {
  return {
    name: 'casync extract',
    needs: 'casync',
    work: (own) =>
      run('casync', [
        'extract',
        `--store=${join(made, 'store.castr')}`,
        join(made, largeFile === undefined ? 'tree.caidx' : 'file.caibx'),
        join(own, 'copy'),
      ]),
  }
}
