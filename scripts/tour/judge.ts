/** Holds a round to what mirrormesh promises. */
import type { Comparison } from './compare.ts'
import type { Check, Published } from './round.ts'
import { mega, say } from './screen.ts'
import type { TrafficFacts } from './status.ts'

/** Below this many blocks the shares of two labs are a matter of chance, and are shown but not judged. */
const FEWEST_BLOCKS_TO_JUDGE = 100

/** @param sinceStart the same facts over all rounds: a site has what it took in all of them */
export function judge(
  name: string,
  published: Published,
  facts: TrafficFacts,
  sinceStart: TrafficFacts,
  copies: readonly (Comparison & { site: string })[],
): Check[] {
  const checks: Check[] = copies.map(({ site, identical, first }) => ({
    name: `${site}'s check-out is identical`,
    ok: identical,
    detail: identical ? 'every name, type, mode, mtime, link and byte' : first.join('; '),
  }))
  const allowed = published.newBytes * 1.02 + 1e6
  checks.push({
    name: 'only new blocks left hq, and about once',
    ok: facts.bytesLeftOrigin <= allowed,
    detail: `${mega(facts.bytesLeftOrigin)} left hq for ${mega(published.newBytes)} of new blocks`,
  })
  if (sinceStart.blocksLeftOrigin < FEWEST_BLOCKS_TO_JUDGE) {
    say(`  ${name}: ${facts.blocksLeftOrigin} blocks left hq, too few to judge how the labs shared them`)
    return checks
  }
  checks.push({
    name: 'at most 2 % of the blocks left hq more than once',
    ok: facts.twicePercent <= 2,
    detail: `${facts.twicePercent} %`,
  })
  for (const lab of sinceStart.labs) {
    checks.push({
      name: `${lab.site} gave the other at least 30 % of all it has, some before it was complete itself`,
      ok: lab.shareOfOtherPercent >= 30 && lab.beforeCompletePercent > 0,
      detail: `${lab.shareOfOtherPercent} %, of that ${lab.beforeCompletePercent} % before`,
    })
  }
  return checks
}
