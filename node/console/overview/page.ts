/** The overview: what is wrong, how much moves, every tree at every site, what happened last. */
import { useMemo } from 'preact/hooks'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import { formatBytes } from '../../cli/quantity.ts'
import { RecentEvents } from '../events/recent.ts'
import { html } from '../html.ts'
import { now, rates } from '../live.ts'
import { Requests } from '../members/requests.ts'
import { Chart } from '../parts/chart.ts'
import { Fact } from '../parts/fact.ts'
import { useDocument } from '../parts/load.ts'
import { findTroubles } from '../problems.ts'
import { linkTo } from '../route.ts'
import { useValue } from '../state.ts'
import { age, shown } from '../text.ts'
import { FirstSteps, isNew } from './first-steps.ts'
import { Headline } from './headline.ts'
import { Matrix } from './matrix.ts'
import { addUp, type Totals } from './totals.ts'

const HOUR_MS = 3_600_000

export function Overview({ status }: { status: StatusDocument }) {
  const nowMs = useValue(now)
  const totals = useMemo(() => addUp(status), [status])
  const troubles = useMemo(() => findTroubles(status, nowMs), [status, nowMs])
  return html`
    <h1 class="unseen" tabindex="-1">Overview of ${shown(status.mesh.name)}</h1>
    <${Requests} isQuiet />
    ${isNew(status) ? html`<${FirstSteps} status=${status} />` : html`<${Headline} troubles=${troubles} totals=${totals} />`}
    <${Facts} totals=${totals} nowMs=${nowMs} />
    ${!isNew(status) && html`<${Matrix} status=${status} nowMs=${nowMs} />`}
    <div class="columns">
      <section class="card" aria-labelledby="rates-title">
        <header class="card-head"><h2 id="rates-title">Rates of ${shown(status.self.site)}</h2><span class="quiet">the last hour</span></header>
        <${Rates} nowMs=${nowMs} />
      </section>
      <${RecentEvents} />
    </div>`
}

function Facts({ totals, nowMs }: { totals: Totals; nowMs: number }) {
  const points = useValue(rates)
  const last = points.at(-1)
  const { oldest, saved } = totals
  const isAllUp = totals.sitesUp === totals.sites
  const published = totals.trees - totals.treesEmpty
  return html`<dl class="facts">
    <${Fact} name="Sites up" value=${html`${totals.sitesUp}<em>/${totals.sites}</em>`} tone=${isAllUp ? '' : 'bad'}
      below=${isAllUp ? 'all are heard of' : `${totals.sites - totals.sitesUp} silent`} />
    <${Fact} name="Trees complete" value=${html`${totals.treesComplete}<em>/${published}</em>`}
      below=${`${totals.replicasComplete} of ${totals.replicas} copies`} />
    <${Fact} name="Moving here" value=${last === undefined ? '-' : rate(last.farIn + last.nearIn)}
      below=${last === undefined ? 'not known yet' : `in, ${rate(last.farOut + last.nearOut)} out`}
      meaning="Bytes of blocks a second between this node and the others, as they travel." />
    <${Fact} name="Still to come" value=${formatBytes(totals.missingBytes)}
      below=${totals.fetching === 0 ? 'nothing is being fetched' : `for ${totals.fetching} ${totals.fetching === 1 ? 'copy' : 'copies'}`} />
    <${Fact} name="Oldest head" value=${oldest === undefined ? '-' : age(oldest.timeMs, nowMs)}
      below=${oldest === undefined ? 'nothing is published' : html`<a href=${linkTo('trees', oldest.tree)}>${shown(oldest.tree)}</a>`} />
    <${Fact} name="Saved at the origin" value=${saved === undefined ? '-' : `${Math.floor(saved.share * 100)} %`}
      below=${saved === undefined ? 'nothing was fetched' : `${formatBytes(saved.bytes)} of ${formatBytes(saved.received)}`}
      meaning="Against rsync, where every site pulls from the publisher's site: that site would have sent all that the sites received. Counted since their programs started, as the bytes travelled; what compression and deltas save comes on top." />
  </dl>`
}

interface History {
  readonly fromMs: number
  readonly stepMs: number
  readonly series: Readonly<Record<string, readonly (number | null)[]>>
}

const LINES = [
  { name: 'from other regions', tone: 'in', pick: 'farIn', of: ['in.wan'] },
  { name: 'to other regions', tone: 'out', pick: 'farOut', of: ['out.wan'] },
  { name: 'from this region', tone: 'near-in', pick: 'nearIn', of: ['in.region', 'in.site'] },
  { name: 'to this region', tone: 'near-out', pick: 'nearOut', of: ['out.region', 'out.site'] },
] as const
const HISTORY = `/api/v1/history?series=${LINES.flatMap(({ of }) => of).join(',')}`

/** What the node has kept of the hour; from its end on, what this page has seen itself. */
function Rates({ nowMs }: { nowMs: number }) {
  const points = useValue(rates)
  const { value: kept } = useDocument<History>(HISTORY, 30_000)
  const series = LINES.map(({ name, tone, pick, of }) => {
    const known = (kept?.series[of[0]] ?? []).map((_, i) => {
      const values = of.map((each) => kept!.series[each]?.[i] ?? null)
      const isKnown = values.some((each) => each !== null)
      return [
        kept!.fromMs + i * kept!.stepMs,
        isKnown ? values.reduce<number>((sum, each) => sum + (each ?? 0), 0) : null,
      ] as const
    })
    const end = known.findLast(([, value]) => value !== null)?.[0] ?? 0
    const own = points
      .filter(({ timeMs }) => timeMs > end)
      .map((point) => [point.timeMs, point[pick]] as const)
    return { name, tone, points: [...known.filter(([timeMs]) => timeMs <= end), ...own] }
  })
  return html`<${Chart} series=${series} fromMs=${nowMs - HOUR_MS} toMs=${nowMs} format=${rate}
    label="Bytes a second of this node, in the last hour, by direction and distance" />`
}

function rate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`
}
