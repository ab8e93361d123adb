/** Package repositories as their own tools make them: rpmbuild and createrepo_c, dpkg-deb and apt-ftparchive. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'

/** `dir`/Packages/NAME-1-1.noarch.rpm for each name, and `dir`/repodata. Needs rpmbuild and createrepo_c. */
export function makeRpmRepository(dir: string, names: readonly string[], args: readonly string[] = []): void {
  const packages = path.join(dir, 'Packages')
  const top = path.join(dir, '..', `rpmbuild-${path.basename(dir)}`)
  fs.mkdirSync(packages, { recursive: true })
  fs.mkdirSync(top, { recursive: true })
  for (const name of names) {
    const spec = path.join(top, `${name}.spec`)
    const lines = [
      `Name: ${name}`,
      'Version: 1',
      'Release: 1',
      'Summary: a sample',
      'License: none',
      'BuildArch: noarch',
    ]
    fs.writeFileSync(spec, [...lines, '', '%description', 'A sample.', '', '%files', ''].join('\n'))
    run('rpmbuild', [
      '-bb',
      '--define',
      `_topdir ${top}`,
      '--define',
      `_rpmdir ${packages}`,
      '--define',
      '_build_name_fmt %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm',
      spec,
    ])
  }
  fs.rmSync(top, { recursive: true })
  run('createrepo_c', ['--quiet', ...args, dir])
}

/** `dir`/pool/NAME_1_all.deb for each name, and `dir`/dists/stable with Packages and Release. Needs dpkg-deb and apt-ftparchive. */
export function makeDebRepository(dir: string, names: readonly string[]): void {
  const pool = path.join(dir, 'pool')
  const lists = path.join(dir, 'dists/stable/main/binary-all')
  fs.mkdirSync(pool, { recursive: true })
  fs.mkdirSync(lists, { recursive: true })
  for (const name of names) {
    const root = path.join(dir, '..', `deb-${name}`)
    fs.mkdirSync(path.join(root, 'DEBIAN'), { recursive: true })
    const fields = [
      `Package: ${name}`,
      'Version: 1',
      'Architecture: all',
      'Maintainer: nobody <nobody@example.org>',
    ]
    fs.writeFileSync(path.join(root, 'DEBIAN/control'), `${fields.join('\n')}\nDescription: a sample\n`)
    run('dpkg-deb', ['--build', '--root-owner-group', root, path.join(pool, `${name}_1_all.deb`)])
    fs.rmSync(root, { recursive: true })
  }
  const packages = run('apt-ftparchive', ['packages', 'pool'], dir)
  fs.writeFileSync(path.join(lists, 'Packages'), packages)
  run('gzip', ['--keep', '--force', path.join(lists, 'Packages')])
  writeRelease(dir)
}

export function writeRelease(dir: string): void {
  const suite = path.join(dir, 'dists/stable')
  fs.rmSync(path.join(suite, 'Release'), { force: true })
  fs.writeFileSync(path.join(suite, 'Release'), run('apt-ftparchive', ['release', 'dists/stable'], dir))
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function run(program: string, args: readonly string[], cwd?: string): string {
  return execFileSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
  })
}
