/** A member that takes requests to join, above a real ledger, and those who ask. */
import { randomBytes } from 'node:crypto'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { KeyPair } from '../../src/record/key.ts'
import { joinCode, joinCommitment } from '../../src/record/request-code.ts'
import { createMembership } from '../../src/replica/records/admission.ts'
import { createJoinRequests, type JoinRequestLimits } from '../../src/replica/records/join-requests.ts'
import { createLedger } from '../../src/replica/records/ledger.ts'
import { createTestLog, createTestLogger, createTestMesh, START_MS, testKey } from './test-mesh.ts'

export const hq = testKey(30)
export const newcomer = testKey(31)
export const mallory = testKey(32)
export const wish = { site: 'lab', region: 'eu' }
export const LOOPBACK = '127.0.0.1'

export async function setUp(limits: JoinRequestLimits = {}) {
  const mesh = createTestMesh()
  const clock = new VirtualClock(START_MS)
  const logger = createTestLogger()
  const ledger = await createLedger({ log: createTestLog(), clock, logger }, { mesh: mesh.mesh })
  await ledger.offer([mesh.genesis.bytes, mesh.member(hq, 'hq', 'us').bytes], 'local')
  const requests = createJoinRequests({ ledger, nodeKey: hq, clock, logger }, limits)
  const membership = createMembership({ ledger, nodeKey: hq, clock }, { takesRequests: true })
  /** One exchange, as the protocol carries it out. */
  const exchange = (key: KeyPair, address = LOOPBACK) => {
    requests.begin({ peer: key.peer, address })
    const newcomerNonce = new Uint8Array(randomBytes(32))
    const memberNonce = new Uint8Array(randomBytes(32))
    const committed = { mesh: mesh.mesh, newcomer: key.publicKey, newcomerNonce, ...wish }
    requests.complete(
      { peer: key.peer, address },
      { commitment: joinCommitment(committed), wish, newcomerNonce, memberNonce },
    )
    return joinCode({ ...committed, member: hq.publicKey, memberNonce })
  }
  return { mesh, clock, ledger, requests, membership, exchange }
}
