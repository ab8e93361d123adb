/**
 * `/mirrormesh/2/object` and the version before it: snapshots, index nodes and directory nodes by CID within a tree. Both
 * sides. What an asker has of the like may be named: then only the difference travels.
 */
import { isMirrorError, MirrorError } from '../base/errors.ts'
import type { Block } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { verifyBlock } from '../block/cid.ts'
import { decodeWindowedLater } from '../block/encoding.ts'
import type { BlockServer } from './ports.ts'
import type { RequestChannel } from './request-channel.ts'
import type { RequestServer } from './request-server.ts'
import type { ObjectData, ObjectRequest } from './wire/object.ts'
import {
  decodeObjectData,
  decodeObjectRequest,
  encodeObjectData,
  encodeObjectRequest,
  MAX_BASES,
  MAX_WINDOW_BYTES,
  OBJECT_1,
  OBJECT_2,
} from './wire/object.ts'
import { BUSY, DATA, MISSING } from './wire/request.ts'

/** The best first. Version 1 has whole objects only. */
export const OBJECT_PROTOCOLS = [OBJECT_2, OBJECT_1] as const

export interface WantedObject {
  readonly tree: string
  readonly cid: Cid
  /** What this node has, verified, that the object may resemble. What is beyond the bounds of a request is left out. */
  readonly bases?: readonly Block[]
  /** Told how many bytes the object took on its way. */
  readonly onTravelled?: (bytes: number) => void
}

/** Bytes that match their CID, or undefined when the peer has it not. @throws MirrorError `busy`, `corrupt` with facts {peer} */
export async function fetchObject(
  requests: RequestChannel,
  peer: string,
  { tree, cid, bases: given = [], onTravelled }: WantedObject,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  const bases = withinBounds(given)
  const request = { tree, cid, bases: bases.map((base) => base.cid) }
  let found: ObjectData | undefined
  let isBusy = false
  await requests.request(
    (protocol) => encodeObjectRequest(request, protocol),
    (type, fields, protocol) => {
      if (found !== undefined || isBusy)
        throw new MirrorError('corrupt', 'the peer answered a second time', { facts: { peer } })
      if (type === DATA) found = decodeObjectData(fields, bases.length, protocol)
      else if (type === BUSY) isBusy = true
    },
    signal,
  )
  if (isBusy) {
    throw new MirrorError('busy', 'the peer has too much to do', {
      facts: { peer },
      hint: 'Ask again later, or somebody else.',
    })
  }
  if (found === undefined) return undefined
  try {
    const bytes = await wholeObject(found, bases)
    verifyBlock(cid, bytes)
    onTravelled?.(found.bytes.length)
    return bytes
  } catch (error) {
    if (!isMirrorError(error)) throw error
    throw new MirrorError(error.code, error.message, { facts: { ...error.facts, peer }, cause: error })
  }
}

function withinBounds(bases: readonly Block[]): readonly Block[] {
  const kept: Block[] = []
  let leftBytes = MAX_WINDOW_BYTES
  for (const base of bases) {
    if (kept.length === MAX_BASES || base.bytes.length > leftBytes) break
    leftBytes -= base.bytes.length
    kept.push(base)
  }
  return kept
}

async function wholeObject({ bytes, over }: ObjectData, bases: readonly Block[]): Promise<Uint8Array> {
  if (over === undefined) return bytes
  const window = new Uint8Array(Buffer.concat(over.bases.map((base) => bases[base]!.bytes)))
  return decodeWindowedLater({ bytes, window, lengthBytes: over.lengthBytes })
}

export function objectAnswers(
  blockServer: BlockServer,
  peer: string,
  protocol: string,
): RequestServer<ObjectRequest> {
  return {
    decode: (fields) => decodeObjectRequest(fields, protocol),
    async answer({ tree, cid, bases = [] }, send, signal) {
      const over =
        bases.length === 0 ? undefined : await blockServer.objectOver?.(peer, tree, { cid, bases }, signal)
      if (over !== undefined) {
        await send(DATA, encodeObjectData(over, protocol))
        return
      }
      const bytes = await blockServer.object(peer, tree, cid, signal)
      if (bytes === undefined) await send(MISSING)
      else await send(DATA, encodeObjectData({ bytes }, protocol))
    },
  }
}
