/**
 * Where members were last reachable, kept over restarts so that a node finds its mesh again by itself. Hints only: a
 * wrong address costs a failed dial. A newcomer's first entry is its admitter, from the invite's token.
 */
import { asMirrorError } from '../../base/errors.ts'
import { decodeCbor, encodeCbor } from '../../block/codec.ts'
import type { KeyValue } from '../../store/index/key-value.ts'

export interface AddressBook {
  /** Address texts without the peer, best first; empty when none is known. */
  of(peer: string): readonly string[]
  /** Replaces what is known of the peer; nothing is written when it is the same. */
  remember(peer: string, addresses: readonly string[]): Promise<void>
  peers(): readonly string[]
}

export const ADDRESS_NAMESPACE = 'addresses'
const MAX_PEERS = 4096
const MAX_ADDRESSES = 32
const MAX_ADDRESS_CHARACTERS = 256

/** @param values Store.values(ADDRESS_NAMESPACE) */
export async function loadAddressBook(values: KeyValue): Promise<AddressBook> {
  const known = new Map<string, readonly string[]>()
  for await (const [peer, value] of values.entries({ limit: MAX_PEERS })) {
    const addresses = decodeAddresses(value)
    if (addresses !== undefined) known.set(peer, addresses)
  }
  return {
    of: (peer) => known.get(peer) ?? [],
    peers: () => [...known.keys()],
    async remember(peer, addresses) {
      const kept = addresses.filter((each) => each.length <= MAX_ADDRESS_CHARACTERS).slice(0, MAX_ADDRESSES)
      const before = known.get(peer)
      if (kept.length === 0 || (before === undefined && known.size >= MAX_PEERS)) return
      if (before !== undefined && JSON.stringify(before) === JSON.stringify(kept)) return
      known.set(peer, kept)
      try {
        await values.put(peer, encodeCbor(kept), { sync: true })
      } catch (error) {
        throw asMirrorError(error, 'write the address book')
      }
    },
  }
}

/** Undefined for what is not ours: an address book that is lost is learned again. */
function decodeAddresses(value: Uint8Array): readonly string[] | undefined {
  try {
    const list = decodeCbor(value, 'addresses')
    return Array.isArray(list) && list.every((each) => typeof each === 'string') ? list : undefined
  } catch {
    return undefined
  }
}
