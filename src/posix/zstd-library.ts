/**
 * The zstd that the process has already: Node exports the one it was built with, or was linked with the system's. Another
 * one beside it would be mixed with it: what libzstd.so calls of itself goes to Node's functions of the same names, of another
 * version, and its contexts with it. Only where the process has none is the system's loaded.
 */
import { createRequire } from 'node:module'

export interface Library {
  func(declaration: string): NativeCall
}

export interface NativeCall {
  (...args: (object | number)[]): unknown
  /** In a thread of the pool; memory that is given is the caller's to keep alive until `done` is called. */
  readonly async: (...args: (object | number | ((error: Error | null, result: unknown) => void))[]) => void
}

const require = createRequire(import.meta.url)

/** @throws Error where there is none, or koffi does not load */
export function zstdLibrary(): Library {
  const koffi = require('koffi') as { load(path: string | null): Library }
  return ofProcess(koffi.load(null)) ?? koffi.load('libzstd.so.1')
}

function ofProcess(library: Library): Library | undefined {
  try {
    library.func('void *ZSTD_createDCtx()')
    return library
  } catch {
    return undefined
  }
}
