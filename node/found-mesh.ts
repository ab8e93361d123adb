/**
 * A mesh begins here: keys, settings, and the first two records (genesis; this node as a member), in this order, so
 * that a home in which a mesh is recorded has all that it needs. Killed in between, it can be run again.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../src/base/clock.ts'
import { MirrorError } from '../src/base/errors.ts'
import { draftRecord, signRecord } from '../src/record/draft.ts'
import { openStore } from '../src/store/store.ts'
import { loadOrCreateKey } from './keys.ts'
import type { Paths } from './paths.ts'
import { type SettingsToWrite, writeConfigFile } from './write-config.ts'

export interface FoundedMesh {
  readonly mesh: { readonly id: string; readonly name: string }
  readonly peer: string
  readonly site: string
  readonly region: string
}

/** @throws MirrorError `conflict` when this home is a node of a mesh already */
export async function foundMesh(
  { paths, clock }: { paths: Paths; clock: Clock },
  { name, site, region, settings }: { name: string; site: string; region: string; settings: SettingsToWrite },
): Promise<FoundedMesh> {
  const store = await openStore({ dir: paths.storeDir, clock })
  try {
    for await (const _ of store.records.readAll()) throw alreadyANode(paths)
    const node = await loadOrCreateKey(paths.nodeKeyFile, "this node's key")
    const admin = await loadOrCreateKey(paths.adminKeyFile, 'the key of an admin')
    const recovery = await loadOrCreateKey(paths.recoveryKeyFile, 'the recovery key')
    await writeConfigFile(paths.configFile, settings)
    const timeMs = clock.nowMs()
    const genesis = draftRecord({
      kind: 'genesis',
      body: {
        name,
        admins: { keys: [admin.publicKey], threshold: 1 },
        recovery: recovery.publicKey,
        nonce: new Uint8Array(randomBytes(16)),
      },
      mesh: null,
      issuer: admin.publicKey,
      tip: undefined,
      timeMs,
    })
    const member = draftRecord({
      kind: 'member',
      body: {
        peer: node.publicKey,
        site,
        region,
        roles: ['site'],
        invite: null,
        expiresMs: null,
        version: 1,
      },
      mesh: genesis.id,
      issuer: admin.publicKey,
      tip: { counter: 1, id: genesis.id },
      timeMs,
    })
    await store.records.append([signRecord(genesis, admin), signRecord(member, admin)])
    return { mesh: { id: genesis.id.toString(), name }, peer: node.peer, site, region }
  } finally {
    await store.close()
  }
}

export function alreadyANode(paths: Paths): MirrorError {
  return new MirrorError(
    'conflict',
    `this home is a node of a mesh already: ${paths.storeDir} holds its records`,
    {
      hint: 'Use another --home, or go on with what is here.',
    },
  )
}
