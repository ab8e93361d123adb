/** Repositories of real packages, as apt and dnf read them, made with Debian's own programs. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Somebody who signs. */
export interface Signer {
  /** The public key, as text. */
  readonly keyFile: string
  /** The same as bytes, as gpgv takes it. */
  readonly keyringFile: string
  /** `InRelease` and `Release.gpg` beside the file `Release`. */
  sign(releaseFile: string): Promise<void>
  /** Ends the agent that gpg has started. */
  close(): Promise<void>
}

/** A key that is made for the test, in a folder of its own. */
export async function createSigner(dir: string): Promise<Signer> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const keyFile = join(dir, 'public.asc')
  const keyringFile = join(dir, 'public.gpg')
  const gpg = (...args: readonly string[]) =>
    run('gpg', ['--homedir', dir, '--batch', '--quiet', '--no-tty', '--yes', ...args])
  await gpg('--passphrase', '', '--quick-generate-key', 'builds <builds@example.org>', 'ed25519', 'sign')
  await gpg('--armor', '--output', keyFile, '--export')
  await gpg('--output', keyringFile, '--export')
  return {
    keyFile,
    keyringFile,
    async close() {
      await run('gpgconf', ['--homedir', dir, '--kill', 'gpg-agent'])
    },
    async sign(releaseFile) {
      await gpg('--clear-sign', '--output', releaseFile.replace(/Release$/, 'InRelease'), releaseFile)
      await gpg('--armor', '--detach-sign', '--output', `${releaseFile}.gpg`, releaseFile)
    },
  }
}

/**
 * `dir` becomes a repository for apt with one package, `hello`, of this version alone: what an older index names is gone.
 * @param workDir for what goes into the package
 */
export async function writeAptRepository(
  dir: string,
  workDir: string,
  { version, signer }: { readonly version: number; readonly signer: Signer },
): Promise<void> {
  const [root, suite] = [join(workDir, 'deb'), join(dir, 'dists/stable')]
  const binary = join(suite, 'main/binary-amd64')
  await rm(dir, { recursive: true, force: true })
  await mkdir(join(root, 'DEBIAN'), { recursive: true })
  await mkdir(join(dir, 'pool'), { recursive: true })
  await mkdir(join(binary, 'by-hash/SHA256'), { recursive: true })
  await writeFile(
    join(root, 'DEBIAN/control'),
    `Package: hello\nVersion: ${version}\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: hello ${version}\n`,
  )
  await writeFile(join(root, 'hello'), `hello ${version}\n`)
  await run('dpkg-deb', ['--root-owner-group', '-b', root, join(dir, `pool/hello_${version}_all.deb`)])
  const { stdout: packages } = await run('apt-ftparchive', ['packages', 'pool'], { cwd: dir })
  await writeFile(join(binary, 'Packages'), packages)
  const { stdout: release } = await run('apt-ftparchive', [
    ...['Suite=stable', 'Codename=stable', 'Components=main', 'Architectures=amd64'].flatMap((each) => [
      '-o',
      `APT::FTPArchive::Release::${each}`,
    ]),
    'release',
    suite,
  ])
  await writeFile(join(suite, 'Release'), `Acquire-By-Hash: yes\n${release}`)
  await signer.sign(join(suite, 'Release'))
  const digest = createHash('sha256').update(packages).digest('hex')
  await copyFile(join(binary, 'Packages'), join(binary, 'by-hash/SHA256', digest))
}

/** As above, for dnf. The names of the metadata files are their digests, as createrepo_c makes them. */
export async function writeRpmRepository(dir: string, workDir: string, version: number): Promise<void> {
  const top = join(workDir, 'rpm')
  await rm(dir, { recursive: true, force: true })
  await rm(top, { recursive: true, force: true })
  await mkdir(dir, { recursive: true })
  await mkdir(top, { recursive: true })
  const spec = join(top, 'hello.spec')
  await writeFile(
    spec,
    `Name: hello
Version: ${version}
Release: 1
Summary: hello ${version}
License: MIT
BuildArch: noarch
%description
hello
%install
mkdir -p %{buildroot}/opt
echo ${version} > %{buildroot}/opt/hello
%files
/opt/hello
`,
  )
  await run('rpmbuild', ['-bb', '--quiet', '--define', `_topdir ${top}`, spec])
  const built = join(top, 'RPMS/noarch')
  for (const name of await readdir(built)) await copyFile(join(built, name), join(dir, name))
  await run('createrepo_c', ['-q', '--no-database', dir])
}

/** Runs apt-get in a world of its own, with `sources` as all that it knows. Resolves to what it printed. */
export async function createApt(
  dir: string,
  sources: string,
): Promise<(...args: string[]) => Promise<string>> {
  for (const each of [
    'etc/apt',
    'var/lib/apt/lists/partial',
    'var/cache/apt/archives/partial',
    'var/lib/dpkg',
    'out',
  ])
    await mkdir(join(dir, each), { recursive: true })
  await writeFile(join(dir, 'var/lib/dpkg/status'), '')
  await writeFile(join(dir, 'etc/apt/sources.list'), `${sources}\n`)
  const config = join(dir, 'apt.conf')
  await writeFile(
    config,
    `Dir "${dir}/";
Dir::State::status "${dir}/var/lib/dpkg/status";
APT::Architecture "amd64";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "0";
`,
  )
  return async (...args) => {
    const env = { PATH: process.env.PATH ?? '', LANG: 'C', APT_CONFIG: config }
    const { stdout, stderr } = await run('apt-get', args, { cwd: join(dir, 'out'), env })
    return stdout + stderr
  }
}

/** Runs dnf in a world of its own, with `repo` (a .repo file's text) as all that it knows. */
export async function createDnf(dir: string, repo: string): Promise<(...args: string[]) => Promise<string>> {
  const [root, log, repos] = [join(dir, 'root'), join(dir, 'log'), join(dir, 'repos')]
  // One of the logs is written in the root that it installs to, another beside it.
  for (const each of [join(root, log), log, repos]) await mkdir(each, { recursive: true })
  await writeFile(join(repos, 'nightly.repo'), repo)
  const config = join(dir, 'dnf.conf')
  await writeFile(
    config,
    `[main]\nreposdir=${repos}\ncachedir=${join(dir, 'cache')}\nlogdir=${log}\nplugins=0\nretries=1\nmetadata_expire=0\nproxy=\n`,
  )
  return async (...args) => {
    const env = { PATH: process.env.PATH ?? '', LANG: 'C', HOME: dir }
    const given = ['-y', '-c', config, `--installroot=${root}`, '--releasever=1']
    const { stdout, stderr } = await run('dnf', [...given, ...args], { cwd: dir, env })
    return stdout + stderr
  }
}

/** Fenced blocks of a document, by the word behind the fence. */
export async function readBlocks(file: string): Promise<Map<string, string[]>> {
  const blocks = new Map<string, string[]>()
  for (const [, word = '', text = ''] of (await readFile(file, 'utf8')).matchAll(/^```(\w+)\n(.*?)^```$/gms))
    blocks.set(word, [...(blocks.get(word) ?? []), text])
  return blocks
}
