/** Where regions and sites stand on the map: regions on an ellipse, the sites of each around its middle. Pure. */
import type { SiteStatus } from '../../../src/replica/status/status.ts'

export interface Spot {
  readonly x: number
  readonly y: number
}

export interface RegionSpot extends Spot {
  readonly region: string
  readonly radius: number
  readonly sites: number
}

export interface MapLayout {
  readonly width: number
  readonly height: number
  readonly regions: readonly RegionSpot[]
  readonly sites: ReadonlyMap<string, Spot>
}

const LEAST_RADIUS = 58
/** Between neighbours on the ring of a region. */
const SITE_GAP = 46

export function layOutMap(sites: readonly Pick<SiteStatus, 'site' | 'region'>[]): MapLayout {
  const names = [...new Set(sites.map(({ region }) => region))].toSorted()
  const members = new Map(
    names.map((name) => [
      name,
      sites
        .filter(({ region }) => region === name)
        .map(({ site }) => site)
        .toSorted(),
    ]),
  )
  const radii = names.map((name) =>
    Math.max(LEAST_RADIUS, (members.get(name)!.length * SITE_GAP) / (2 * Math.PI)),
  )
  const room = radii.reduce((sum, radius) => sum + 2 * radius + 130, 0)
  const ring = names.length === 1 ? 0 : Math.max(210, room / (2 * Math.PI))
  const [a, b] = [ring * (names.length === 2 ? 1 : 1.35), names.length === 2 ? 0 : ring * 0.82]
  const edge = Math.max(...radii) + 66
  const [width, height] = [2 * (a + edge) + 80, 2 * (b + edge)]
  const spots = new Map<string, Spot>()
  const regions = names.map((region, i): RegionSpot => {
    const angle = (i / names.length) * 2 * Math.PI + Math.PI
    const [x, y] = [width / 2 + a * Math.cos(angle), height / 2 + b * Math.sin(angle)]
    const own = members.get(region)!
    for (const [j, site] of own.entries()) {
      // Two stand side by side: one below the other would hide the first one's name.
      const turn = (j / own.length) * 2 * Math.PI - (own.length === 2 ? 0 : Math.PI / 2)
      const distance = own.length === 1 ? 0 : radii[i]! - 20
      spots.set(site, { x: x + distance * Math.cos(turn), y: y + distance * Math.sin(turn) })
    }
    return { region, x, y, radius: radii[i]!, sites: own.length }
  })
  return { width, height, regions, sites: spots }
}
