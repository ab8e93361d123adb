/** Lines over time, drawn as SVG: a few series, one scale from zero, the hour that ends now. */
import { html } from '../html.ts'

export interface Series {
  readonly name: string
  readonly tone: string
  /** Rising by time; null is a gap. */
  readonly points: readonly (readonly [timeMs: number, value: number | null])[]
}

const WIDTH = 600
const HEIGHT = 140

export function Chart({
  series,
  fromMs,
  toMs,
  format,
  label,
}: {
  series: readonly Series[]
  fromMs: number
  toMs: number
  format: (value: number) => string
  label: string
}) {
  const most = niceTop(Math.max(0, ...series.flatMap(({ points }) => points.map(([, value]) => value ?? 0))))
  const x = (timeMs: number): number => ((timeMs - fromMs) / (toMs - fromMs)) * WIDTH
  const y = (value: number): number => HEIGHT - (value / most) * HEIGHT
  return html`<figure class="chart">
    <div class="plot">
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${label}>
        ${[0.25, 0.5, 0.75, 1].map((part) => html`<line key=${part} class="rule" x1="0" x2=${WIDTH} y1=${HEIGHT * part} y2=${HEIGHT * part} />`)}
        ${series.map(({ name, tone, points }) => html`<path key=${name} class="line ${tone}" d=${pathOf(points, x, y)} />`)}
      </svg>
      <span class="y top">${format(most)}</span>
      <span class="y middle">${format(most / 2)}</span>
    </div>
    <div class="x" aria-hidden="true"><span>${spanText(toMs - fromMs)} ago</span><span>now</span></div>
    <figcaption>
      ${series.map(({ name, tone, points }) => {
        const last = points.findLast(([, value]) => value !== null)?.[1]
        return html`<span key=${name} class="key ${tone}">${name} <b>${last == null ? '-' : format(last)}</b></span>`
      })}
    </figcaption>
  </figure>`
}

function pathOf(
  points: Series['points'],
  x: (timeMs: number) => number,
  y: (value: number) => number,
): string {
  let path = ''
  let isOpen = false
  for (const [timeMs, value] of points) {
    if (value === null || x(timeMs) < 0) {
      isOpen = false
      continue
    }
    path += `${isOpen ? 'L' : 'M'}${x(timeMs).toFixed(1)} ${y(value).toFixed(1)}`
    isOpen = true
  }
  return path
}

/** 1, 2 or 5 times a power of ten, at or above. */
function niceTop(value: number): number {
  if (value <= 0) return 1000
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? value
}

function spanText(ms: number): string {
  return ms >= 3_600_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 60_000)} min`
}
