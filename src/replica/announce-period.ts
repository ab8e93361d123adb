/** How often sites are heard of while nothing changes, and after how long without a word one counts as silent. */

/**
 * How often a site says that it is there while nothing changes. Every site passes on what every site says, to about three
 * others and in some 540 bytes, headers included: at 10 s each, 100 sites would send 19 KB/s each. So the mesh as a whole says
 * so much a second, whatever its size. (All of itself a site says the more seldom the more it is: announcement-sender.ts.)
 */
export function announcePeriodMs(members: number): number {
  return Math.max(10_000, members * 6_000)
}

/** A site is silent when its last announcement is older than this (three are missed) and nothing is connected. */
export function silentAfterMs(members: number): number {
  return 3.5 * announcePeriodMs(members)
}
