import type { Clock } from '../base/clock.ts'
import { MAX_TRACKED_PEERS } from './limits.ts'

/** A token bucket for each key; the keys longest unused are forgotten, which refills them. */
export function rateLimit(
  clock: Clock,
  burst: number,
  intervalMs: number,
  maxKeys = MAX_TRACKED_PEERS,
): (key: string) => boolean {
  const buckets = new Map<string, { tokens: number; atMs: number }>()
  return (key) => {
    const nowMs = clock.monotonicMs()
    const bucket = buckets.get(key) ?? { tokens: burst, atMs: nowMs }
    bucket.tokens = Math.min(burst, bucket.tokens + (nowMs - bucket.atMs) / intervalMs)
    bucket.atMs = nowMs
    buckets.delete(key)
    buckets.set(key, bucket)
    if (buckets.size > maxKeys) buckets.delete(buckets.keys().next().value!)
    if (bucket.tokens < 1) return false
    bucket.tokens--
    return true
  }
}
