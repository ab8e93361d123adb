/** Whole sites in one process, over real hosts on loopback: everything of a node but its files of keys and its API. */
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { startHost } from '../../src/net/host.ts'
import type { Host } from '../../src/net/ports.ts'
import type { KeyPair } from '../../src/record/key.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import { loadCompleteSnapshots } from '../../src/replica/holdings/complete-snapshots.ts'
import { createHoldings } from '../../src/replica/holdings/holdings.ts'
import { createPublisher, type Publisher } from '../../src/replica/publish/publish.ts'
import {
  ADDRESS_NAMESPACE,
  type AddressBook,
  loadAddressBook,
} from '../../src/replica/records/address-book.ts'
import { createAdmission, createMembership } from '../../src/replica/records/admission.ts'
import { createLedger, type Ledger } from '../../src/replica/records/ledger.ts'
import { createBlockService } from '../../src/replica/serve/block-service.ts'
import { createSiteAgent } from '../../src/replica/site-agent/site-agent.ts'
import type { SiteAgent } from '../../src/replica/site-agent/types.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { createTraffic } from '../../src/replica/traffic.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import type { Store } from '../../src/store/store.ts'
import { isReachable, NO_TOPOLOGY } from '../../src/topology/topology.ts'
import { openStatCaches } from '../../src/tree/stat-cache/stat-caches.ts'
import { createTestLogger, type TestMesh } from './test-mesh.ts'

export interface TestSite {
  readonly ledger: Ledger
  readonly host: Host
  readonly agent: SiteAgent
  readonly publisher: Publisher
  readonly store: Store
  readonly addressBook: AddressBook
  readonly logger: ReturnType<typeof createTestLogger>
  stop(): Promise<void>
}

export async function startSite(
  { mesh }: TestMesh,
  {
    key,
    site,
    region,
    records,
    tempDir,
    store = createMemoryStore({ tempDir }),
    peers = [],
    listen = ['127.0.0.1:0'],
  }: {
    key: KeyPair
    site: string
    region: string
    records: readonly VerifiedRecord[]
    tempDir: string
    store?: Store
    peers?: readonly TestSite[]
    /** Empty: nobody can dial it, and it says so. */
    listen?: readonly string[]
  },
): Promise<TestSite> {
  const clock = systemClock
  const logger = createTestLogger()
  const values = (namespace: string) => store.values(namespace)
  const ledger = await createLedger({ log: store.records, clock, logger }, { mesh })
  await ledger.offer(
    records.map(({ bytes }) => bytes),
    'local',
  )
  const { blocks } = store
  const traffic = createTraffic()
  const holdings = createHoldings({ blocks, values, clock })
  const complete = await loadCompleteSnapshots({ values, holdings })
  const membership = createMembership({ ledger, nodeKey: key, clock })
  const host = await startHost(
    {
      keySeed: key.seed,
      mesh,
      membership,
      records: ledger,
      admission: createAdmission({ ledger, nodeKey: key, clock, logger }),
      blockServer: createBlockService({
        blocks,
        holdings,
        traffic,
        mayRead: (peer) => membership.isMember(peer),
      }),
      answerer: {
        async answer() {
          const announced = agent.announced()
          if (announced === undefined) throw new MirrorError('not-found', 'nothing was said yet')
          return announced
        },
      },
      clock,
      log: logger,
    },
    {
      listen,
      isReachable: () => listen.length > 0 && isReachable(ledger.state().topology?.body ?? NO_TOPOLOGY, site),
    },
  )
  const addressBook = await loadAddressBook(store.values(ADDRESS_NAMESPACE))
  for (const peer of peers) await addressBook.remember(peer.host.peerId, peer.host.addresses())
  const self = { peer: key.peer, site, region, version: '0.0.0' }
  const agent = createSiteAgent({
    ledger,
    store,
    host,
    holdings,
    complete,
    traffic,
    addressBook,
    clock,
    logger,
    self,
  })
  const statCaches = openStatCaches({ dir: path.join(tempDir, 'cache'), log: logger })
  const publisher = createPublisher({
    ledger,
    blocks,
    complete,
    nodeKey: key,
    clock,
    tempDir,
    statCaches,
    host,
    logger,
  })
  await agent.start()
  return {
    ledger,
    host,
    agent,
    publisher,
    store,
    addressBook,
    logger,
    async stop() {
      await agent.stop()
      await host.stop()
    },
  }
}

/** Resolves when the status says so; the error shows what it said last. */
export function until(
  site: TestSite,
  what: string,
  test: (status: StatusDocument) => boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      clearTimeout(deadline)
      end()
      settle()
    }
    const look = (): void => {
      if (test(site.agent.status())) finish(resolve)
    }
    const end = site.agent.onChange(look)
    const deadline = setTimeout(() => {
      const said = JSON.stringify(site.agent.status().trees)
      const failed = site.logger.events.filter(({ event }) => event.endsWith('failed')).slice(-3)
      finish(() =>
        reject(new Error(`not within 60 s: ${what}; ${said} ${JSON.stringify(failed, errorText)}`)),
      )
    }, 60_000)
    look()
  })
}

function errorText(_key: string, value: unknown): unknown {
  return value instanceof Error ? value.message : value
}

export async function withTempDir(task: (dir: string) => Promise<void>): Promise<void> {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'mirrormesh-agent-'))
  try {
    await task(dir)
  } finally {
    await fs.rm(dir, { recursive: true, force: true })
  }
}
