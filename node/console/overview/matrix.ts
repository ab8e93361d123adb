/**
 * Trees by sites. Only what is seen is in the page, so it stays at hand with hundreds of both: rows and columns have
 * fixed sizes, and the window over them follows the scroll. One cell takes the focus; arrows move it.
 */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { SiteStatus, StatusDocument, TreeStatus } from '../../../src/replica/status/status.ts'
import { formatSeconds } from '../../cli/quantity.ts'
import { html } from '../html.ts'
import { TreeName } from '../parts/tree-name.ts'
import { linkTo } from '../route.ts'
import { age, roughly, shown, silentSeconds } from '../text.ts'
import { cellOf } from './cell.ts'
import { columnsOf, type Filter, replicaOf, rowsOf } from './rows.ts'

const WIDE_PX = 120
const NARROW_PX = 32
const ROW_PX = 34
const BAND_PX = 24
/** Rows and columns beyond the edge: a scroll of a few pixels draws nothing new. */
const SPARE = 2

interface Window {
  readonly top: number
  readonly left: number
  readonly height: number
  readonly width: number
}

/** -1 is the head of a row or a column. */
interface Place {
  readonly row: number
  readonly column: number
}

export function Matrix({ status, nowMs }: { status: StatusDocument; nowMs: number }) {
  const [filter, setFilter] = useState<Filter>({ text: '', onlyOpen: false, order: 'worst' })
  const columns = useMemo(() => columnsOf(status), [status])
  const rows = useMemo(() => rowsOf(status, filter, nowMs), [status, filter, nowMs])
  const change = (part: Partial<Filter>): void => setFilter((old) => ({ ...old, ...part }))
  return html`<section class="card matrix-card" aria-labelledby="matrix-title">
    <header class="card-head">
      <h2 id="matrix-title">Trees by sites</h2>
      <div class="tools">
        <label class="search">
          <span class="unseen">Trees whose name holds</span>
          <input type="search" placeholder="Filter trees" value=${filter.text}
            onInput=${(event: InputEvent) => change({ text: (event.target as HTMLInputElement).value })} />
        </label>
        <label class="check">
          <input type="checkbox" checked=${filter.onlyOpen}
            onChange=${(event: Event) => change({ onlyOpen: (event.target as HTMLInputElement).checked })} />
          Not complete
        </label>
        <label class="check">
          <input type="checkbox" checked=${filter.order === 'worst'}
            onChange=${(event: Event) =>
              change({ order: (event.target as HTMLInputElement).checked ? 'worst' : 'name' })} />
          Worst first
        </label>
      </div>
    </header>
    ${
      rows.length === 0
        ? html`<p class="nothing">${status.trees.length === 0 ? 'No trees yet.' : 'No tree is like that.'}</p>`
        : html`<${Grid} rows=${rows} columns=${columns} nowMs=${nowMs} />`
    }
    <${Legend} />
  </section>`
}

function Legend() {
  const items = [
    ['complete', '✓', 'complete'],
    ['fetching', '↓', 'fetching'],
    ['behind', '−', 'behind'],
    ['stalled', '−', 'stalled'],
    ['paused', '‖', 'paused'],
    ['failed', '!', 'fails'],
    ['unknown', '?', 'not heard of'],
  ]
  return html`<ul class="legend">
    ${items.map(([kind, sign, text]) => html`<li key=${kind}><i class="sign ${kind}" aria-hidden="true">${sign}</i>${text}</li>`)}
    <li class="quiet">empty: not kept there</li>
  </ul>`
}

function Grid({
  rows,
  columns,
  nowMs,
}: {
  rows: readonly TreeStatus[]
  columns: readonly SiteStatus[]
  nowMs: number
}) {
  const scroller = useRef<HTMLDivElement>(null)
  const [view, setView] = useState<Window>({ top: 0, left: 0, height: 600, width: 900 })
  const [place, setPlace] = useState<Place>({ row: 0, column: -1 })
  const wantsFocus = useRef(false)

  useLayoutEffect(() => {
    const element = scroller.current!
    const look = (): void => {
      const { scrollTop: top, scrollLeft: left, clientHeight: height, clientWidth: width } = element
      setView((old) =>
        old.top === top && old.left === left && old.height === height && old.width === width
          ? old
          : { top, left, height, width },
      )
    }
    look()
    const observer = new ResizeObserver(look)
    observer.observe(element)
    element.addEventListener('scroll', look, { passive: true })
    return () => {
      observer.disconnect()
      element.removeEventListener('scroll', look)
    }
  }, [])

  const leastNamePx = view.width < 560 ? 140 : 270
  const isWide = columns.length * WIDE_PX <= view.width - leastNamePx
  const columnPx = isWide ? Math.min(180, Math.floor((view.width - leastNamePx) / columns.length)) : NARROW_PX
  // What the columns leave over is the names'.
  const namePx = isWide ? view.width - columns.length * columnPx : leastNamePx
  const longest = columns.reduce((most, { site }) => Math.max(most, site.length), 0)
  const headPx = isWide ? 34 : Math.min(130, 22 + longest * 7.5)
  const topPx = BAND_PX + headPx
  const first = {
    row: clamp(Math.floor(view.top / ROW_PX) - SPARE, 0, rows.length),
    column: clamp(Math.floor(view.left / columnPx) - SPARE, 0, columns.length),
  }
  const end = {
    row: clamp(Math.ceil((view.top + view.height - topPx) / ROW_PX) + SPARE, 0, rows.length),
    column: clamp(Math.ceil((view.left + view.width - namePx) / columnPx) + SPARE, 0, columns.length),
  }
  const at = {
    row: clamp(place.row, -1, rows.length - 1),
    column: clamp(place.column, -1, columns.length - 1),
  }
  const seen = columns.slice(first.column, end.column)

  useEffect(() => {
    if (!wantsFocus.current) return
    wantsFocus.current = false
    scroller.current?.querySelector<HTMLElement>('[tabindex="0"]')?.focus({ preventScroll: true })
  }, [at.row, at.column, view])

  const move = (next: Place): void => {
    const element = scroller.current!
    const row = clamp(next.row, -1, rows.length - 1)
    const column = clamp(next.column, -1, columns.length - 1)
    if (row >= 0) {
      const [top, bottom] = [row * ROW_PX, (row + 1) * ROW_PX - (element.clientHeight - topPx)]
      element.scrollTop = Math.max(bottom, Math.min(top, element.scrollTop))
    }
    if (column >= 0) {
      const [left, right] = [column * columnPx, (column + 1) * columnPx - (element.clientWidth - namePx)]
      element.scrollLeft = Math.max(right, Math.min(left, element.scrollLeft))
    }
    wantsFocus.current = true
    setPlace({ row, column })
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor((view.height - topPx) / ROW_PX) - 1)
    const steps: Record<string, readonly [number, number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      PageUp: [-page, 0],
      PageDown: [page, 0],
      Home: [0, -columns.length],
      End: [0, columns.length],
    }
    const step = steps[event.key]
    if (step === undefined) return
    event.preventDefault()
    move({ row: at.row + step[0], column: at.column + step[1] })
  }
  const tab = (row: number, column: number): 0 | -1 => (row === at.row && column === at.column ? 0 : -1)
  const shift = (i: number) => (i === 0 ? { marginLeft: `${first.column * columnPx}px` } : {})
  const width = namePx + columns.length * columnPx

  return html`<div class="matrix ${isWide ? 'wide' : 'narrow'}" ref=${scroller} role="grid"
    aria-label="Trees by sites" aria-rowcount=${rows.length + 1} aria-colcount=${columns.length + 1}
    onKeyDown=${onKeyDown}>
    <div class="matrix-head" style=${{ width: `${width}px`, height: `${topPx}px` }} role="rowgroup">
      <div class="band" aria-hidden="true">
        <span class="corner" style=${{ width: `${namePx}px` }}></span>
        ${regionsOf(columns).map(
          ({ region, start, count }) => html`<span key=${region} class="region"
            style=${{ left: `${namePx + start * columnPx}px`, width: `${count * columnPx}px` }}
            title=${region}><b style=${{ left: `${namePx}px` }}>${shown(region)}</b></span>`,
        )}
      </div>
      <div class="row" role="row" aria-rowindex="1" style=${{ height: `${headPx}px` }}>
        <div class="name corner" role="columnheader" aria-colindex="1" style=${{ width: `${namePx}px` }}>Tree</div>
        ${seen.map((site, i) => {
          const column = first.column + i
          return html`<div key=${site.peer} role="columnheader" aria-colindex=${column + 2}
            class="site ${site.state}" style=${{ width: `${columnPx}px`, ...shift(i) }}>
            <a href=${linkTo('sites', site.site)} tabindex=${tab(-1, column)} title=${siteLabel(site, nowMs)}
              ><span>${shown(site.site)}</span></a>
          </div>`
        })}
      </div>
    </div>
    <div class="matrix-body" role="rowgroup" style=${{ width: `${width}px`, height: `${rows.length * ROW_PX}px` }}>
      ${rows.slice(first.row, end.row).map((tree, i) => {
        const row = first.row + i
        return html`<div key=${tree.tree} class="row" role="row" aria-rowindex=${row + 2}
          style=${{ top: `${row * ROW_PX}px` }}>
          <div class="name" role="rowheader" aria-colindex="1" style=${{ width: `${namePx}px` }}>
            <a href=${linkTo('trees', tree.tree)} tabindex=${tab(row, -1)} title=${tree.tree}
              ><${TreeName} name=${tree.tree} /></a>
            <small>${headText(tree, nowMs)}</small>
          </div>
          ${seen.map((site, j) => {
            const column = first.column + j
            const cell = cellOf(tree, site, replicaOf(tree, site.site), nowMs)
            return html`<div key=${site.peer} role="gridcell" aria-colindex=${column + 2}
              class="cell ${cell.kind} ${site.state}" tabindex=${tab(row, column)}
              aria-label=${shown(cell.label)} title=${shown(cell.label)}
              style=${{ width: `${columnPx}px`, ...shift(j) }}
              onClick=${() => go(tree)} onKeyDown=${(event: KeyboardEvent) => event.key === 'Enter' && go(tree)}>
              <i class="sign ${cell.kind}" aria-hidden="true">${cell.sign}</i>
              ${isWide && html`<span aria-hidden="true">${cell.text}</span>`}
              ${cell.share !== undefined && html`<b class="bar" aria-hidden="true" style=${{ width: `${cell.share * 100}%` }}></b>`}
            </div>`
          })}
        </div>`
      })}
    </div>
  </div>`
}

function go(tree: TreeStatus): void {
  location.hash = linkTo('trees', tree.tree)
}

function headText({ sequence, timeMs }: TreeStatus, nowMs: number): string {
  if (sequence === null) return 'empty'
  return timeMs == null ? `@${sequence}` : `@${sequence}, ${age(timeMs, nowMs)}`
}

function siteLabel(status: SiteStatus, nowMs: number): string {
  const { site, region, state } = status
  const how = { self: 'this node', up: 'up', silent: 'silent', 'never-seen': 'not heard of yet' }[state]
  const since = state === 'silent' ? ` for ${formatSeconds(roughly(silentSeconds(status, nowMs)))}` : ''
  return shown(`${site} in ${region}: ${how}${since}`)
}

function regionsOf(columns: readonly SiteStatus[]): { region: string; start: number; count: number }[] {
  const found: { region: string; start: number; count: number }[] = []
  for (const [i, { region }] of columns.entries()) {
    const last = found.at(-1)
    if (last?.region === region) last.count++
    else found.push({ region, start: i, count: 1 })
  }
  return found
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value))
}
