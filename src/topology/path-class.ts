/**
 * How far apart two places are. Everything that chooses between sources, counts bytes or sets caps speaks of these
 * classes; a nearer class always goes before a farther one, whatever the rates.
 */

export interface Place {
  readonly site: string
  readonly region: string
}

/** `site`: within one place; `region`: near, cheap links; `wan`: between regions. Nearest first. */
export const PATH_CLASSES = ['site', 'region', 'wan'] as const

export type PathClass = (typeof PATH_CLASSES)[number]

export function pathClass(a: Place, b: Place): PathClass {
  if (a.region !== b.region) return 'wan'
  return a.site === b.site ? 'site' : 'region'
}

/** 0 is nearest. Tiers are compared, never added up with rates. */
export function tierOf(path: PathClass): number {
  return PATH_CLASSES.indexOf(path)
}
