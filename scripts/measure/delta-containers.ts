/** Deltas between archives of one pair of builds, by what the archive is compressed with. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removedOnSignal } from '../on-signal.ts'
import type { FetchedPair } from './build-pairs.ts'
import { type MakingFigures, measureTrials } from './delta-pair.ts'
import { type RsyncBytes, rsyncBytes } from './rsync-bytes.ts'
import { hasProgram, run, shell } from './run.ts'

export interface ContainerFigures {
  readonly pair: string
  readonly container: string
  readonly bytes: number
  readonly making: MakingFigures
  readonly rsyncCompressed: RsyncBytes
}

/** A package of a folder, as rpmbuild makes it of what was installed already. Two of them differ in when they were built, too. */
function rpmOf(payload: string): string {
  return `set -e
    top="$2/top"
    mkdir -p "$top/root/srv"
    cp -a "$1" "$top/root/srv/a"
    printf '%s\\n' 'Name: a' 'Version: 1' 'Release: 1' 'Summary: a' 'License: none' 'BuildArch: noarch' \\
      '%description' '%files' '/srv/a' > "$top/a.spec"
    rpmbuild -bb --quiet --nodeps --buildroot "$top/root" --define "_topdir $top" --define "_rpmdir $2" \\
      --define '_build_name_fmt a.rpm' --define '__os_install_post %{nil}' --define '_binary_payload ${payload}' "$top/a.spec"
    rm -r "$top"`
}

/** From a folder $1 to a file in $2. */
const CONTAINERS: readonly { readonly name: string; readonly program: string; readonly script: string }[] = [
  { name: '.tar', program: 'tar', script: 'tar -C "$1" --sort=name -cf "$2/a.tar" .' },
  { name: '.tar.gz', program: 'gzip', script: 'tar -C "$1" --sort=name -c . | gzip -n > "$2/a.tar.gz"' },
  {
    name: '.tar.gz, --rsyncable',
    program: 'gzip',
    script: 'tar -C "$1" --sort=name -c . | gzip -n --rsyncable > "$2/a.tar.gz"',
  },
  { name: '.tar.xz', program: 'xz', script: 'tar -C "$1" --sort=name -c . | xz -3 > "$2/a.tar.xz"' },
  { name: '.tar.zst', program: 'zstd', script: 'tar -C "$1" --sort=name -c . | zstd -q > "$2/a.tar.zst"' },
  { name: '.rpm of zstd -19', program: 'rpmbuild', script: rpmOf('w19.zstdio') },
  { name: '.rpm of xz -2', program: 'rpmbuild', script: rpmOf('w2.xzdio') },
  { name: '.iso', program: 'genisoimage', script: 'genisoimage -quiet -r -o "$2/a.iso" "$1"' },
]

/** Containers whose program is not installed are left out. */
export async function measureContainers({ kind, name, path }: FetchedPair): Promise<ContainerFigures[]> {
  const figures: ContainerFigures[] = []
  for (const { name: container, program, script } of CONTAINERS) {
    if (!hasProgram(program)) continue
    process.stderr.write(`  ${kind}/${name} as ${container}\n`)
    const work = mkdtempSync(join(tmpdir(), 'mirrormesh-delta-'))
    using _removed = removedOnSignal(work)
    try {
      for (const side of ['old', 'new']) {
        mkdirSync(join(work, side))
        await shell(script, join(path, side), join(work, side))
        // rsync takes two of one size and time for the same.
        const [archive] = readdirSync(join(work, side))
        utimesSync(join(work, side, archive!), 0, side === 'old' ? 1 : 2)
      }
      const [wanted, held] = [join(work, 'new'), join(work, 'old')]
      const [ours] = await measureTrials({ kind, name, path: work }, [{}])
      const { stdout } = await run('du', ['-b', join(wanted, readdirSync(wanted)[0]!)])
      figures.push({
        pair: `${kind}/${name}`,
        container,
        bytes: Number(stdout.split('\t')[0]),
        making: ours!.making,
        rsyncCompressed: await rsyncBytes({ held, wanted, work }, ['-z']),
      })
    } finally {
      rmSync(work, { recursive: true, force: true })
    }
  }
  return figures
}
