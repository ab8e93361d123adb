/** Ends of the paths that a topology declares: a site by its bare name, a region by `region:NAME`. */

const REGION = 'region:'

/** How a path names a region. */
export function regionEnd(region: string): string {
  return REGION + region
}

/** The region that an end of a path names; undefined for a site. */
export function regionOfEnd(end: string): string | undefined {
  return end.startsWith(REGION) ? end.slice(REGION.length) : undefined
}
