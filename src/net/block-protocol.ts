/** `/mirrormesh/3/blocks` and the versions before it: blocks by their position in an index page. Both sides. */
import { MirrorError } from '../base/errors.ts'
import type { BlockAnswer, BlockChannel, BlockServer, ServedBlock } from './ports.ts'
import type { RequestChannel } from './request-channel.ts'
import type { RequestServer } from './request-server.ts'
import type { PeerCounter } from './traffic.ts'
import type { BlockData, BlocksRequest } from './wire/blocks.ts'
import {
  BLOCKS_1,
  BLOCKS_2,
  BLOCKS_3,
  decodeBlockData,
  decodeBlocksRequest,
  decodeMissing,
  encodeBlockData,
  encodeBlocksRequest,
  encodeOffsets,
} from './wire/blocks.ts'
import { DATA, MISSING } from './wire/request.ts'

/** The best first. Version 1 has plain blocks only, and those before 3 a message for each block. */
export const BLOCKS_PROTOCOLS = [BLOCKS_3, BLOCKS_2, BLOCKS_1] as const

export function createBlockChannel(
  { requests, counter }: { readonly requests: RequestChannel; readonly counter: () => PeerCounter },
  peer: string,
): BlockChannel {
  return {
    peer,
    async request(request, onAnswers, signal) {
      const open = new Set(request.offsets)
      const settle = (offset: number): void => {
        if (!open.delete(offset)) {
          throw new MirrorError('corrupt', 'the peer sent a block that was not asked for', {
            facts: { peer },
          })
        }
      }
      const refuseRest = (): void => {
        const rest = [...open].map((offset): BlockAnswer => ({ offset, status: 'busy' }))
        open.clear()
        if (rest.length > 0) onAnswers(rest)
      }
      await requests.request(
        encodeBlocksRequest(request),
        (type, fields, protocol) => {
          if (type === DATA) {
            const blocks = decodeBlockData(fields, protocol)
            for (const { offset } of blocks) settle(offset)
            counter().blocksReceived += blocks.length
            onAnswers(blocks.map(held))
          } else if (type === MISSING) {
            const offsets = decodeMissing(fields)
            for (const offset of offsets) settle(offset)
            onAnswers(offsets.map((offset) => ({ offset, status: 'missing' })))
          } else refuseRest()
        },
        signal,
      )
      // A peer that ends a request early has not refused: the rest is asked for again, elsewhere.
      refuseRest()
    },
    close: () => requests.close(),
  }
}

function isHeld(block: ServedBlock): block is ServedBlock & BlockData {
  return block.bytes !== undefined
}

/** Without a spread, which costs as much as all else that is done with a block here. */
function held({ offset, bytes, zstdOfBytes }: BlockData): BlockAnswer {
  return zstdOfBytes === undefined
    ? { offset, status: 'have', bytes }
    : { offset, status: 'have', bytes, zstdOfBytes }
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
      const acceptsZstd = protocol !== BLOCKS_1
      for await (const batch of blockServer.blocks(peer, { ...request, acceptsZstd }, signal)) {
        signal.throwIfAborted()
        const held: BlockData[] = []
        const missing: number[] = []
        for (const block of batch) {
          if (!open.delete(block.offset)) continue
          if (isHeld(block)) held.push(block)
          else missing.push(block.offset)
        }
        if (missing.length > 0) await send(MISSING, [encodeOffsets(missing)])
        for (const { count, fields } of encodeBlockData(held, protocol)) {
          await send(DATA, fields)
          counter().blocksSent += count
        }
      }
      if (open.size > 0) await send(MISSING, [encodeOffsets([...open])])
    },
  }
}
