/**
 * Fetches the builds of sources.ts and lays them out for chunks.ts: `DIR/KIND/NAME/{old,new}`, where KIND is `trees`,
 * `images` or `packages`. What is there already is not fetched again. The only part of the bench that needs a network.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { BUILDS, type BuildPair, PACKAGE_DIRECTORY, type PackageSource } from './sources.ts'

const SIDES = ['old', 'new'] as const

export function fetchBuilds(dir: string): void {
  for (const build of BUILDS) fetchBuild(dir, build)
  fetchPackages(dir)
}

function fetchBuild(dir: string, { name, source, treeOnly = false }: BuildPair): void {
  const [trees, images] = [join(dir, 'trees', name), join(dir, 'images', name)]
  if (existsSync(trees) && (treeOnly || existsSync(images))) return
  process.stderr.write(`fetching ${name}\n`)
  const work = workFolder(dir)
  try {
    for (const [side, label] of SIDES.entries()) {
      const [tree, image] = [join(work, 'tree', label), join(work, 'image', label)]
      for (const folder of [tree, image]) mkdirSync(folder, { recursive: true })
      const tar = join(image, `${name}.tar`)
      makeTar(join(work, label), source, side as 0 | 1, tar)
      sh('tar -xf "$1" -C "$2"', tar, tree)
      if (source.from === 'debian' && source.release !== undefined)
        shareRelease(tree, source.release[side]!, source.release[0])
    }
    for (const [made, at] of treeOnly
      ? [['tree', trees] as const]
      : [['tree', trees] as const, ['image', images] as const]) {
      rmSync(at, { recursive: true, force: true })
      mkdirSync(join(at, '..'), { recursive: true })
      renameSync(join(work, made), at)
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function makeTar(work: string, source: PackageSource, side: 0 | 1, tar: string): void {
  mkdirSync(work)
  if (source.from === 'npm') {
    sh('cd "$1" && npm pack --silent "$2" >&2', work, `${source.name}@${source.versions[side]}`)
    sh('gzip -dc "$1" > "$2"', only(work), tar)
    return
  }
  if (source.from === 'npm-packages') {
    const all = join(work, 'packages')
    for (const { name, versions } of source.packages) {
      const [packed, unpacked] = [join(work, 'packed'), join(all, name)]
      for (const folder of [packed, unpacked]) mkdirSync(folder, { recursive: true })
      sh('cd "$1" && npm pack --silent "$2" >&2', packed, `${name}@${versions[side]}`)
      sh('tar -xzf "$1" -C "$2" --strip-components=1', only(packed), unpacked)
      rmSync(packed, { recursive: true })
    }
    sh('tar -C "$1" --sort=name -cf "$2" .', all, tar)
    return
  }
  download(work, `${source.names[side]}=${source.versions[side]}`)
  if (source.inner === undefined) sh('dpkg-deb --fsys-tarfile "$1" > "$2"', only(work), tar)
  else {
    const path = `./${source.inner}`
    sh('dpkg-deb --fsys-tarfile "$1" | tar -xO "$2" | xz -dc > "$3"', only(work), path, tar)
  }
}

/** Paths with the release in them would be other paths in the next build: the pair is about the contents. */
function shareRelease(tree: string, own: string, shared: string): void {
  if (own === shared) return
  sh(
    `find "$1" -depth -name "*$2*" | while IFS= read -r path; do
       name=\${path##*/}; mv "$path" "\${path%/*}/$(printf '%s' "$name" | sed "s/$2/$3/")"; done`,
    tree,
    own,
    shared,
  )
}

function fetchPackages(dir: string): void {
  const at = join(dir, 'packages', 'debian-12')
  if (existsSync(at)) return
  const work = workFolder(dir)
  try {
    for (const [side, label] of SIDES.entries()) {
      const folder = join(work, 'made', label)
      mkdirSync(folder, { recursive: true })
      for (const { name, versions } of PACKAGE_DIRECTORY) {
        const version = versions[side] ?? versions[0]
        process.stderr.write(`fetching ${name} ${version}\n`)
        download(folder, `${name}=${version}`)
      }
    }
    mkdirSync(join(at, '..'), { recursive: true })
    renameSync(join(work, 'made'), at)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function download(folder: string, what: string): void {
  // As root apt would drop its rights, and may then not write here.
  sh('cd "$1" && apt-get -qq -o APT::Sandbox::User=root download "$2" >&2', folder, what)
}

function workFolder(dir: string): string {
  mkdirSync(dir, { recursive: true })
  return mkdtempSync(join(dir, '.fetch-'))
}

function only(folder: string): string {
  const names = readdirSync(folder)
  if (names.length !== 1) throw new Error(`${folder} should hold one package and holds ${names.length} files`)
  return join(folder, names[0]!)
}

function sh(script: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync('bash', ['-euo', 'pipefail', '-c', script, 'bash', ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (error !== undefined) throw error
  if (status !== 0)
    throw new Error(
      `fetching failed (status ${status}): ${args.join(' ')}. The version may be gone from the registry: see sources.ts, and run "apt-get update".`,
    )
}
