/** Bounds what glibc's allocator keeps for itself in a process of many threads. */
import { libc } from './libc.ts'

const M_MMAP_THRESHOLD = -3
const M_ARENA_MAX = -8
const MAX_ARENAS = 2
/** zstd's contexts are below it: mapped and given back for each block they cost as much again as the compression. */
const MMAP_THRESHOLD_BYTES = 2 * 1024 * 1024

let isBounded = false

/**
 * Threads share two arenas, and large buffers go back to the system when they are freed. By default each thread gets an
 * arena (8 a core) that keeps what it once needed: 50 MB more at the peak of an import, at no gain in time (measured).
 * Once a process, before its threads start. Where libc has no mallopt (musl, which needs none) nothing happens.
 */
export function boundAllocator(): void {
  if (isBounded) return
  isBounded = true
  try {
    const mallopt = libc('mallopt')
    mallopt(M_ARENA_MAX, MAX_ARENAS)
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
  } catch {
    // A saving, not a need.
  }
}
