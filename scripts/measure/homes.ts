/** The homes of a whole mesh, made at once: every site is a member and has the addresses of all, as after a day together. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { foundMesh } from '../../node/found-mesh.ts'
import { loadKey, loadOrCreateKey } from '../../node/keys.ts'
import { choosePaths, type Paths } from '../../node/paths.ts'
import { writeConfigFile } from '../../node/write-config.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { Bodies, Kind } from '../../src/record/content.ts'
import { type ChainTip, draftRecord, signRecord } from '../../src/record/draft.ts'
import type { KeyPair } from '../../src/record/key.ts'
import { decodeStored } from '../../src/record/record.ts'
import { ADDRESS_NAMESPACE, loadAddressBook } from '../../src/replica/records/address-book.ts'
import { openStore } from '../../src/store/store.ts'
import type { Topology } from '../../src/topology/topology.ts'

export interface Place {
  readonly site: string
  readonly region: string
  /** IPv4, and the port there. */
  readonly address: string
  readonly port: number
}

export interface Home extends Place {
  readonly home: string
  /** Where its pin puts the tree. */
  readonly checkout: string
}

export const TREE = 'builds/bench'

export function pathsOf(home: string): Paths {
  return choosePaths({ home, env: {}, uid: 0 })
}

/** The first place publishes TREE, and has the admin's key. @param isPinned TREE, at all others, each with a check-out */
export async function makeHomes(
  folder: string,
  places: readonly Place[],
  { isPinned = false, topology }: { readonly isPinned?: boolean; readonly topology?: Topology } = {},
): Promise<Home[]> {
  const homes = places.map(
    (place): Home => ({
      ...place,
      home: join(folder, place.site),
      checkout: join(folder, `${place.site}-tree`),
    }),
  )
  const [first, ...others] = homes
  const settings = ({ address, port }: Place) => ({ listen: `${address}:${port}`, http: 'off' })
  mkdirSync(first!.home)
  const paths = pathsOf(first!.home)
  const { site: name, region } = first!
  await foundMesh(
    { paths, clock: systemClock },
    { name: 'bench', site: name, region, settings: settings(first!) },
  )
  const admin = await loadKey(paths.adminKeyFile, "the admin's key")
  const keys = [await loadKey(paths.nodeKeyFile, `the key of ${name}`)]
  for (const home of others) {
    mkdirSync(home.home)
    keys.push(await loadOrCreateKey(pathsOf(home.home).nodeKeyFile, `the key of ${home.site}`))
    await writeConfigFile(pathsOf(home.home).configFile, settings(home))
  }
  const founding = await readRecords(first!.home)
  const records = [...founding, ...signAll(founding, admin, keys, homes, { isPinned, topology })]
  for (const [number, { home }] of homes.entries()) {
    const store = await openStore({ dir: pathsOf(home).storeDir, clock: systemClock })
    try {
      const addresses = await loadAddressBook(store.values(ADDRESS_NAMESPACE))
      for (const [other, { peer }] of keys.entries())
        if (other !== number)
          await addresses.remember(peer, [`/ip4/${homes[other]!.address}/tcp/${homes[other]!.port}`])
      await store.records.append(number === 0 ? records.slice(founding.length) : records)
    } finally {
      await store.close()
    }
  }
  return homes
}

async function readRecords(home: string): Promise<Uint8Array[]> {
  const store = await openStore({ dir: pathsOf(home).storeDir, clock: systemClock })
  try {
    return await Array.fromAsync(store.records.readAll())
  } finally {
    await store.close()
  }
}

function signAll(
  founding: readonly Uint8Array[],
  admin: KeyPair,
  keys: readonly KeyPair[],
  homes: readonly Home[],
  { isPinned, topology }: { readonly isPinned: boolean; readonly topology: Topology | undefined },
): Uint8Array[] {
  const known = founding.map(decodeStored)
  const mesh = known[0]!.id
  let tip: ChainTip = { counter: known.length, id: known.at(-1)!.id }
  const sign = <K extends Kind>(kind: K, body: Bodies[K]): Uint8Array => {
    const draft = draftRecord({ kind, body, mesh, issuer: admin.publicKey, tip, timeMs: systemClock.nowMs() })
    tip = { counter: tip.counter + 1, id: draft.id }
    return signRecord(draft, admin)
  }
  const publisher = keys[0]!.publicKey
  return [
    ...homes.slice(1).map(({ site, region }, at) =>
      sign('member', {
        peer: keys[at + 1]!.publicKey,
        site,
        region,
        roles: ['site'],
        invite: null,
        expiresMs: null,
        version: 1,
      }),
    ),
    sign('tree', { name: TREE, readers: 'members', publishers: [publisher], version: 1, removed: false }),
    sign('epoch', { tree: TREE, epoch: 1, previous: null, publisher, base: null }),
    ...(isPinned ? homes.slice(1) : []).map(({ site, checkout }) =>
      sign('pin', { name: site, tree: TREE, sites: { site }, checkout, version: 1, removed: false }),
    ),
    ...(topology === undefined ? [] : [sign('topology', { ...topology, version: 1 })]),
  ]
}
