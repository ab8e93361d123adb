/** Regions and sites, and what flows between them now: who feeds whom, how fast, and why. */
import { useMemo, useState } from 'preact/hooks'
import type { SiteStatus } from '../../../src/replica/status/status.ts'
import type { TopologyDocument } from '../../api/answers.ts'
import { countOf, formatBytes } from '../../cli/quantity.ts'
import { html } from '../html.ts'
import { now } from '../live.ts'
import type { PageProps } from '../page-props.ts'
import { useDocument } from '../parts/load.ts'
import { linkTo } from '../route.ts'
import { SiteState } from '../site/state.ts'
import { useValue } from '../state.ts'
import { shown } from '../text.ts'
import { type Flow, useFlows } from './flows.ts'
import { layOutMap, type MapLayout, type Spot } from './layout.ts'

export function MeshMap({ status }: PageProps) {
  const nowMs = useValue(now)
  const { flows } = useFlows()
  const { value: topology } = useDocument<TopologyDocument>('/api/v1/topology', 5000)
  const [chosen, setChosen] = useState<string>()
  const places = useMemo(
    () => JSON.stringify(status.sites.map(({ site, region }) => [site, region])),
    [status.sites],
  )
  const layout = useMemo(() => layOutMap(status.sites), [places])
  const flow = flows.find((each) => keyOf(each) === chosen)
  return html`
    <div class="page-head"><div>
      <h1 tabindex="-1">Map</h1>
      <p class="quiet">${flows.length === 0 ? 'Nothing flows now' : `${countOf(flows.length, 'flow')}, ${formatBytes(flows.reduce((sum, each) => sum + each.bytesPerSecond, 0))}/s in all`}. What flows between others is told by the sites that receive it.</p>
    </div></div>
    <div class="map-page">
      <section class="card map-card" aria-label="Map of the mesh">
        <${Drawing} layout=${layout} sites=${status.sites} flows=${flows} topology=${topology} chosen=${chosen} onChoose=${setChosen} self=${status.self.site} />
        <ul class="legend">
          <li><i class="swatch flow"></i>flows now, as wide as it is fast</li>
          <li><i class="swatch path"></i>connected with ${shown(status.self.site)}</li>
          <li><i class="swatch cut"></i>not connected with it</li>
        </ul>
      </section>
      <section class="card" aria-labelledby="flows-title">
        <header class="card-head"><h2 id="flows-title">Flows</h2></header>
        ${
          flows.length === 0
            ? html`<p class="nothing">Publish something, or pin a tree to another site, and its way shows here.</p>`
            : html`<ul class="flows">${flows.slice(0, 40).map(
                (each) => html`<li key=${keyOf(each)}>
                  <button type="button" aria-pressed=${keyOf(each) === chosen} onClick=${() => setChosen(keyOf(each) === chosen ? undefined : keyOf(each))}>
                    <span>${shown(each.from)} → ${shown(each.to)}</span><b>${formatBytes(each.bytesPerSecond)}/s</b></button>
                </li>`,
              )}</ul>`
        }
        ${flow !== undefined && html`<${Why} flow=${flow} topology=${topology} self=${status.self.site} />`}
        <h3>Sites</h3>
        <ul class="flows">${status.sites
          .slice(0, 60)
          .map(
            (site) =>
              html`<li key=${site.peer}><a href=${linkTo('sites', site.site)}><span>${shown(site.site)} <small class="quiet">${shown(site.region)}</small></span> <${SiteState} site=${site} nowMs=${nowMs} /></a></li>`,
          )}</ul>
      </section>
    </div>`
}

function keyOf({ from, to }: Flow): string {
  return `${from}>${to}`
}

function Why({ flow, topology, self }: { flow: Flow; topology: TopologyDocument | undefined; self: string }) {
  const other = flow.from === self ? flow.to : flow.from
  const path = topology?.measured.find(({ site }) => site === other)
  const isOwn = flow.from === self || flow.to === self
  return html`<div class="notice why" role="status">
    <b>${shown(flow.from)} feeds ${shown(flow.to)}</b>, ${formatBytes(flow.bytesPerSecond)}/s, as ${flow.by === 'this node' ? 'measured here' : `${shown(flow.to)} says`}.
    ${isOwn && path !== undefined && html` Round trip ${path.rttMs === null ? 'not known' : `${path.rttMs} ms`}${path.declaredKbit !== null && `, declared ${formatBytes((path.declaredKbit * 1000) / 8)}/s`}${path.isRelayed && ', through another member'}.`}
    <ul>${flow.reasons.map((reason) => html`<li key=${reason}>${shown(reason)}</li>`)}</ul>
    ${flow.reasons.length === 0 && html`<p class="quiet">It asked for blocks of trees that it keeps, or for records. <a href=${linkTo('transfers')}>Transfers</a> tell of each segment.</p>`}
  </div>`
}

function Drawing({
  layout,
  sites,
  flows,
  topology,
  chosen,
  onChoose,
  self,
}: {
  layout: MapLayout
  sites: readonly SiteStatus[]
  flows: readonly Flow[]
  topology: TopologyDocument | undefined
  chosen: string | undefined
  onChoose: (key: string) => void
  self: string
}) {
  const connected = new Set(topology?.measured.map(({ site }) => site))
  const most = Math.max(1, ...flows.map(({ bytesPerSecond }) => bytesPerSecond))
  const here = layout.sites.get(self)
  return html`<svg class="map" viewBox="0 0 ${layout.width} ${layout.height}" role="group"
      aria-label=${`${sites.length} sites in ${layout.regions.length} regions; the flows are listed beside`}>
    <defs><marker id="tip" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 1 9 5 0 9z" /></marker></defs>
    ${layout.regions.map(
      ({ region, x, y, radius }) =>
        html`<g key=${region} class="region"><circle cx=${x} cy=${y} r=${radius + 22} /><text x=${x} y=${y - radius - 32}>${shown(region)}${ratesOf(topology, region)}</text></g>`,
    )}
    ${sites.map(({ site, state }) => {
      const spot = layout.sites.get(site)
      if (here === undefined || spot === undefined || site === self) return null
      const isCut = topology !== undefined && !connected.has(site)
      return html`<path key=${site} class="link ${isCut || state === 'silent' ? 'cut' : ''}" d=${arc(here, spot, 0)} />`
    })}
    ${flows.map((flow) => {
      const [from, to] = [layout.sites.get(flow.from), layout.sites.get(flow.to)]
      if (from === undefined || to === undefined) return null
      const key = keyOf(flow)
      return html`<path key=${key} class="flow ${key === chosen ? 'chosen' : ''}" d=${arc(from, to, 0.16)} marker-end="url(#tip)"
        style=${{ strokeWidth: `${1.5 + 5 * (flow.bytesPerSecond / most)}px` }} onClick=${() => onChoose(key)}><title>${shown(flow.from)} → ${shown(flow.to)}, ${formatBytes(flow.bytesPerSecond)}/s</title></path>`
    })}
    ${sites.map((site) => {
      const spot = layout.sites.get(site.site)
      if (spot === undefined) return null
      return html`<a key=${site.peer} href=${linkTo('sites', site.site)} class="site ${site.state} ${site.drained ? 'drained' : ''}">
        <circle cx=${spot.x} cy=${spot.y} r="9" /><text x=${spot.x} y=${spot.y + 25}>${shown(site.site)}</text></a>`
    })}
  </svg>`
}

function ratesOf(topology: TopologyDocument | undefined, region: string): string {
  const link = topology?.declared?.regions.find((each) => each.region === region)
  if (link?.upKbit === undefined) return ''
  return ` · ${formatBytes((link.upKbit * 1000) / 8)}/s out`
}

/** A curve that leaves the straight line to its right, so the two directions do not hide each other. It ends before the dot. */
function arc(from: Spot, to: Spot, bend: number): string {
  const [dx, dy] = [to.x - from.x, to.y - from.y]
  const length = Math.hypot(dx, dy) || 1
  const [mx, my] = [(from.x + to.x) / 2 - dy * bend, (from.y + to.y) / 2 + dx * bend]
  const short = bend === 0 ? 0 : 13
  const [ex, ey] = [to.x - mx, to.y - my]
  const end = Math.hypot(ex, ey) || 1
  const [x, y] = [
    to.x - (ex / end) * Math.min(short, length / 3),
    to.y - (ey / end) * Math.min(short, length / 3),
  ]
  return `M${from.x.toFixed(1)} ${from.y.toFixed(1)}Q${mx.toFixed(1)} ${my.toFixed(1)} ${x.toFixed(1)} ${y.toFixed(1)}`
}
