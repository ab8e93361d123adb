/** `/mirrormesh/1/object`: snapshots, index nodes and directory nodes by CID within a tree. Both sides. */
import { isMirrorError, MirrorError } from '../base/errors.ts'
import { verifyBlock } from '../block/cid.ts'
import type { BlockServer } from './ports.ts'
import type { RequestChannel } from './request-channel.ts'
import type { RequestServer } from './request-server.ts'
import type { ObjectRequest } from './wire/object.ts'
import { decodeObjectRequest, encodeObjectRequest } from './wire/object.ts'
import { BUSY, DATA, MISSING } from './wire/request.ts'

export const OBJECT_PROTOCOL = '/mirrormesh/1/object'

/** Bytes that match their CID, or undefined when the peer has it not. @throws MirrorError `busy`, `corrupt` with facts {peer} */
export async function fetchObject(
  requests: RequestChannel,
  peer: string,
  request: ObjectRequest,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  let found: Uint8Array | undefined
  let isBusy = false
  await requests.request(
    encodeObjectRequest(request),
    (type, fields) => {
      if (found !== undefined || isBusy)
        throw new MirrorError('corrupt', 'the peer answered a second time', { facts: { peer } })
      if (type === DATA) found = fields
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
    verifyBlock(request.cid, found)
  } catch (error) {
    if (!isMirrorError(error)) throw error
    throw new MirrorError(error.code, error.message, { facts: { ...error.facts, peer }, cause: error })
  }
  return found
}

export function objectAnswers(blockServer: BlockServer, peer: string): RequestServer<ObjectRequest> {
  return {
    decode: decodeObjectRequest,
    async answer({ tree, cid }, send, signal) {
      const bytes = await blockServer.object(peer, tree, cid, signal)
      if (bytes === undefined) await send(MISSING)
      else await send(DATA, [bytes])
    },
  }
}
