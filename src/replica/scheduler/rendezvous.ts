/**
 * Who of a region takes what over the WAN. Every site computes the same answer from the same names, with no message.
 *
 * Rendezvous hashing (Thaler and Ravishankar, 1998) ranks the sites for each segment; as in consistent hashing with
 * bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2016) a site that is ahead of its fair share is passed over. The
 * load is counted in bytes along the page, so any run of neighbouring segments is shared evenly, not only the whole:
 * a new folder in an otherwise unchanged tree is split as well as a first copy.
 *
 * Sites are hashed by their rank in the region, where they have one, so that the same ranks take the same segments in every region:
 * what a site takes far away it finds at one site there.
 */
import { blake3 } from '../../block/hash.ts'

/** How far, in bytes, a site may run ahead of its fair share: this many of the page's mean segments. */
const SLACK_SEGMENTS = 1

export interface Candidate {
  readonly site: string
  /** Share of the region's WAN rate that is its own; only the ratio counts. 1 when nothing is declared. */
  readonly weight?: number
  /** What stands for its name in the hashing, if it has one: candidates of the same ranks elsewhere get the same segments. */
  readonly rank?: number | undefined
}

/**
 * The owner of each segment of one page, as the site's name.
 * @param pageKey bytes that name the page (its digest)
 * @param sizesBytes of the page's segments in order
 * @param candidates in any order, names unique; the answer does not depend on the order
 */
export function assignOwners(
  pageKey: Uint8Array,
  sizesBytes: readonly number[],
  candidates: readonly Candidate[],
): string[] {
  if (candidates.length === 0) return []
  const sites = candidates
    .map(({ site, weight = 1, rank }) => ({
      ...{ site, weight: Math.max(weight, 1e-6), load: 0 },
      seed: siteSeed(rank === undefined ? site : `rank ${rank}`),
      order: rank ?? Number.POSITIVE_INFINITY,
    }))
    .sort((a, b) => (a.order === b.order ? (a.site < b.site ? -1 : 1) : a.order - b.order))
  const seed = read32(pageKey, 0) ^ read32(pageKey, 4)
  const totalWeight = sites.reduce((sum, { weight }) => sum + weight, 0)
  const meanBytes = sizesBytes.reduce((sum, size) => sum + size, 0) / Math.max(1, sizesBytes.length)
  const owners: string[] = []
  let assigned = 0
  for (const [segment, size] of sizesBytes.entries()) {
    assigned += size
    let best = sites[0]!
    let bestScore = -1
    for (const candidate of sites) {
      const fairBytes = (assigned * candidate.weight) / totalWeight
      if (candidate.load + size > fairBytes + SLACK_SEGMENTS * Math.max(meanBytes, size)) continue
      const score = weightedScore(mix(seed, candidate.seed, segment), candidate.weight)
      if (score > bestScore) {
        best = candidate
        bestScore = score
      }
    }
    if (bestScore < 0) best = leastLoaded(sites)
    best.load += size
    owners.push(best.site)
  }
  return owners
}

/** Who takes a segment in the place of `except`, which has it and is slow: each of the others in proportion to its weight. */
export function nextInLine(
  pageKey: Uint8Array,
  segment: number,
  candidates: readonly Candidate[],
  except: string,
): string | undefined {
  const seed = read32(pageKey, 0) ^ read32(pageKey, 4)
  let best: string | undefined
  let bestScore = -1
  for (const { site, weight = 1 } of candidates) {
    if (site === except) continue
    const score = weightedScore(mix(seed, siteSeed(site), segment), Math.max(weight, 1e-6))
    if (score > bestScore) [best, bestScore] = [site, score]
  }
  return best
}

/** Uniform in [0, 1), from two names: how much the one likes the other. */
export function affinity(a: string, b: string): number {
  return mix(siteSeed(a), siteSeed(b), 0) / 2 ** 32
}

function leastLoaded<T extends { load: number; weight: number }>(sites: readonly T[]): T {
  return sites.reduce((least, site) => (site.load / site.weight < least.load / least.weight ? site : least))
}

/** Weighted rendezvous: -weight / ln(u) picks each site in proportion to its weight (Schindelhauer and Schomaker). */
function weightedScore(hash: number, weight: number): number {
  return -weight / Math.log((hash + 0.5) / 2 ** 32)
}

const seeds = new Map<string, number>()
const MAX_SEEDS = 4096

function siteSeed(site: string): number {
  const known = seeds.get(site)
  if (known !== undefined) return known
  if (seeds.size >= MAX_SEEDS) seeds.clear()
  const seed = read32(blake3.digest(new TextEncoder().encode(site)), 0)
  seeds.set(site, seed)
  return seed
}

function read32(bytes: Uint8Array, offset: number): number {
  let value = 0
  for (let i = 0; i < 4; i++) value = (value << 8) | (bytes[offset + i] ?? 0)
  return value
}

/** Three words to one, by the finaliser of MurmurHash3 (public domain) over their combination. */
function mix(a: number, b: number, c: number): number {
  let h = Math.imul(a ^ Math.imul(c + 1, 0x9e3779b1), 0x85ebca6b) ^ b
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
