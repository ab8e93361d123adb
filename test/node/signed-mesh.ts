/**
 * A mesh whose homes, keys and records a test makes by itself: every site is a member, has the others' addresses and the
 * pins, before the first daemon starts. For tests of what daemons do with each other; how people make a mesh is
 * mesh.test.ts.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { choosePaths, type Paths } from '../../node/paths.ts'
import { writeConfigFile } from '../../node/write-config.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { KeyPair } from '../../src/record/key.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import { ADDRESS_NAMESPACE, loadAddressBook } from '../../src/replica/records/address-book.ts'
import { openStore } from '../../src/store/store.ts'
import { createTestMesh, type TestMesh, testKey } from '../replica/test-mesh.ts'
import { freePort } from './program.ts'

/** Nothing listens there. */
export const DEAD_PORT = 1

export interface SignedSite {
  readonly site: string
  readonly region: string
  readonly home: string
  readonly key: KeyPair
  readonly port: number
  /** Where the pins put the tree. */
  readonly checkout: string
}

export interface SignedMesh {
  readonly mesh: TestMesh
  readonly records: readonly VerifiedRecord[]
  readonly sites: readonly SignedSite[]
  site(name: string): SignedSite
}

/** The first site publishes, and has the admin's key; the tree is pinned, with a check-out, at all that `pinned` names. */
export async function signMesh(
  dir: string,
  {
    regions,
    tree,
    pinned,
    hidden = [],
    http = [],
    more = () => [],
  }: {
    /** Of each site, the first being the origin. */
    readonly regions: Readonly<Record<string, string>>
    readonly tree: string
    readonly pinned: readonly string[]
    /** Sites of which other regions know no address that leads anywhere. */
    readonly hidden?: readonly string[]
    /** Sites that have a gateway. */
    readonly http?: readonly string[]
    /** Further records that all know from the start. */
    readonly more?: (mesh: TestMesh, site: (name: string) => SignedSite) => readonly VerifiedRecord[]
  },
): Promise<SignedMesh> {
  const mesh = createTestMesh()
  const sites: SignedSite[] = []
  for (const [site, region] of Object.entries(regions)) {
    const home = join(dir, site)
    const key = testKey(40 + sites.length)
    sites.push({ site, region, home, key, port: await freePort(), checkout: join(dir, `${site}-tree`) })
  }
  const named = (name: string): SignedSite => sites.find(({ site }) => site === name)!
  const records = [
    mesh.genesis,
    ...sites.map(({ key, site, region }) => mesh.member(key, site, region)),
    ...mesh.tree(tree, sites[0]!.key),
    ...pinned.map((site) =>
      mesh.sign(mesh.admin, 'pin', {
        name: site,
        tree,
        sites: { site },
        checkout: named(site).checkout,
        version: 1,
        removed: false,
      }),
    ),
    ...more(mesh, named),
  ]
  for (const one of sites) {
    const known = sites.flatMap(({ site, region, key, port }) => {
      const isHidden = hidden.includes(site) && region !== one.region
      return site === one.site ? [] : [{ peer: key.peer, port: isHidden ? DEAD_PORT : port }]
    })
    await makeHome(one, known, records, http.includes(one.site) ? '127.0.0.1:0' : 'off')
  }
  await writeKey(pathsOf(sites[0]!.home).adminKeyFile, mesh.admin)
  return { mesh, records, sites, site: named }
}

async function makeHome(
  { home, key, port }: SignedSite,
  others: readonly { readonly peer: string; readonly port: number }[],
  records: readonly VerifiedRecord[],
  http: string,
): Promise<void> {
  const paths = pathsOf(home)
  await mkdir(dirname(paths.nodeKeyFile), { recursive: true, mode: 0o700 })
  await writeKey(paths.nodeKeyFile, key)
  await writeConfigFile(paths.configFile, { listen: `127.0.0.1:${port}`, http })
  const store = await openStore({ dir: paths.storeDir, clock: systemClock })
  try {
    const addresses = await loadAddressBook(store.values(ADDRESS_NAMESPACE))
    for (const { peer, port: at } of others) await addresses.remember(peer, [`/ip4/127.0.0.1/tcp/${at}`])
    await store.records.append(records.map(({ bytes }) => bytes))
  } finally {
    await store.close()
  }
}

function pathsOf(home: string): Paths {
  return choosePaths({ home, env: {}, uid: 0 })
}

async function writeKey(file: string, { peer, seed }: KeyPair): Promise<void> {
  const text = { mirrormeshKey: 1, type: 'ed25519', peer, seed: Buffer.from(seed).toString('base64url') }
  await writeFile(file, JSON.stringify(text), { mode: 0o600 })
}
