import { DEFAULT_CHUNKER } from '../src/block/chunker.ts'

/** As by default, but small files are blocks of their own: where a test needs blocks of few bytes. */
export const CHUNKED = { ...DEFAULT_CHUNKER, inlineBytes: 0 }
