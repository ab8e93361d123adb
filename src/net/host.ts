/** The libp2p host of a node: starts it, wires its protocols to the ports of the layers above, and stops it. */
import type { Clock } from '../base/clock.ts'
import { MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import type { Admission, BlockServer, Host, Membership, NetLog, RecordExchange } from './ports.ts'

export type { BlockChannel, Host } from './ports.ts'

export interface HostComponents {
  /** 32-byte Ed25519 seed of the node's key. */
  readonly keySeed: Uint8Array
  /** Id of the mesh (CID of its genesis record): names the gossip topics. */
  readonly mesh: Cid
  readonly membership: Membership
  readonly records: RecordExchange
  readonly admission: Admission
  readonly blockServer: BlockServer
  readonly clock: Clock
  readonly log?: NetLog
}

export interface HostOptions {
  /** `host:port` each (IPv6 in brackets, port 0 for any free one); empty: dials only. */
  readonly listen: readonly string[]
  /** `host:port` that others shall dial (a DNS name is fine); without it, the addresses listened on. */
  readonly announce?: readonly string[]
  /** Encryptions offered, best first. Both sides need one in common. */
  readonly security?: readonly ('noise' | 'tls')[]
}

export async function startHost(_components: HostComponents, _options: HostOptions): Promise<Host> {
  throw new MirrorError('unsupported', 'the network host is not built yet')
}
