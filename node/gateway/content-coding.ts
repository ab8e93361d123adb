/**
 * Content-Encoding of what the gateway itself writes (listings): the best of zstd, gzip and nothing that the client takes.
 * Files are sent as they are: they have ranges and a length, and most are compressed already.
 *
 * Bounded: windows of 128 KiB, and no more input than the client has taken output for.
 */
import { Readable, type Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGzip, createZstdCompress } from 'node:zlib'

export type ContentCoding = 'zstd' | 'gzip' | 'identity'

/** By q-value (RFC 9110 section 12.5.3); of equals, the first of these. */
const CODINGS: readonly ContentCoding[] = ['zstd', 'gzip', 'identity']

export function chooseCoding(acceptEncoding: string | undefined): ContentCoding {
  if (acceptEncoding === undefined) return 'identity'
  const weights = new Map<string, number>()
  for (const item of acceptEncoding.toLowerCase().split(',').slice(0, 32)) {
    const match = /^\s*([a-z0-9*-]+)\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?$/.exec(item)
    if (match !== null) weights.set(match[1] === 'x-gzip' ? 'gzip' : match[1]!, Number(match[2] ?? 1))
  }
  const any = weights.get('*')
  const weightOf = (coding: ContentCoding): number =>
    // What was not asked for by name is still there in plain form, after all that was.
    weights.get(coding) ?? (coding === 'identity' ? (any === 0 ? 0 : 0.0005) : (any ?? 0))
  let best: ContentCoding = 'identity'
  let bestWeight = 0
  for (const coding of CODINGS) {
    if (weightOf(coding) <= bestWeight) continue
    best = coding
    bestWeight = weightOf(coding)
  }
  return best
}

export function encodePieces(
  pieces: AsyncIterable<string>,
  coding: ContentCoding,
): AsyncIterable<Uint8Array | string> {
  return coding === 'identity' ? pieces : through(pieces, coderOf(coding))
}

function coderOf(coding: 'zstd' | 'gzip'): Transform {
  if (coding === 'gzip') return createGzip({ level: 4 })
  return createZstdCompress({
    params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_windowLog]: 17 },
  })
}

async function* through(pieces: AsyncIterable<string>, coder: Transform): AsyncGenerator<Uint8Array> {
  const fed = pipeline(Readable.from(pieces, { highWaterMark: 1 }), coder)
  // Seen below: a failure destroys the coder, which ends the loop.
  fed.catch(() => undefined)
  try {
    for await (const piece of coder as AsyncIterable<Uint8Array>) yield piece
    await fed
  } finally {
    coder.destroy()
  }
}
