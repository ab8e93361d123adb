/** `/mirrormesh/2/blocks` and the version before it: blocks by their position in an index page. Both sides. */
import { MirrorError } from '../base/errors.ts'
import type { BlockChannel, BlockServer } from './ports.ts'
import type { RequestChannel } from './request-channel.ts'
import type { RequestServer } from './request-server.ts'
import type { PeerCounter } from './traffic.ts'
import type { BlocksRequest } from './wire/blocks.ts'
import {
  BLOCKS_1,
  BLOCKS_2,
  decodeBlockData,
  decodeBlocksRequest,
  decodeMissing,
  encodeBlockData,
  encodeBlocksRequest,
  encodeOffsets,
} from './wire/blocks.ts'
import { DATA, MISSING } from './wire/request.ts'

/** The best first. Version 1 has plain blocks only. */
export const BLOCKS_PROTOCOLS = [BLOCKS_2, BLOCKS_1] as const

export function createBlockChannel(
  { requests, counter }: { readonly requests: RequestChannel; readonly counter: () => PeerCounter },
  peer: string,
): BlockChannel {
  return {
    peer,
    async request(request, onAnswer, signal) {
      const open = new Set(request.offsets)
      const settle = (offset: number): void => {
        if (!open.delete(offset)) {
          throw new MirrorError('corrupt', 'the peer sent a block that was not asked for', {
            facts: { peer },
          })
        }
      }
      await requests.request(
        encodeBlocksRequest(request),
        (type, fields, protocol) => {
          if (type === DATA) {
            const { offset, ...block } = decodeBlockData(fields, protocol)
            settle(offset)
            counter().blocksReceived++
            onAnswer({ offset, status: 'have', ...block })
          } else if (type === MISSING) {
            for (const offset of decodeMissing(fields)) {
              settle(offset)
              onAnswer({ offset, status: 'missing' })
            }
          } else {
            for (const offset of open) onAnswer({ offset, status: 'busy' })
            open.clear()
          }
        },
        signal,
      )
      // A peer that ends a request early has not refused: the rest is asked for again, elsewhere.
      for (const offset of open) onAnswer({ offset, status: 'busy' })
    },
    close: () => requests.close(),
  }
}

export function blockAnswers(
  { blockServer, counter }: { readonly blockServer: BlockServer; readonly counter: () => PeerCounter },
  peer: string,
  protocol: string,
): RequestServer<BlocksRequest> {
  return {
    decode: decodeBlocksRequest,
    async answer(request, send, signal) {
      const open = new Set(request.offsets)
      const acceptsZstd = protocol === BLOCKS_2
      for await (const served of blockServer.blocks(peer, { ...request, acceptsZstd }, signal)) {
        signal.throwIfAborted()
        const { offset, bytes, zstdOfBytes } = served
        if (!open.delete(offset)) continue
        if (bytes === undefined) await send(MISSING, [encodeOffsets([offset])])
        else {
          await send(DATA, encodeBlockData({ offset, bytes, zstdOfBytes }, protocol))
          counter().blocksSent++
        }
      }
      if (open.size > 0) await send(MISSING, [encodeOffsets([...open])])
    },
  }
}
