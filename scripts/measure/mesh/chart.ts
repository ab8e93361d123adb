/** A picture of completion over time: for each run a line that rises by one with each site that has the tree. SVG. */

export interface Line {
  readonly name: string
  /** Seconds, rising. */
  readonly arrivals: readonly number[]
}

export interface Chart {
  readonly title: string
  readonly sites: number
  readonly lines: readonly Line[]
  /** Seconds that no scheduler can beat; drawn as a dashed line. */
  readonly bound?: number
}

const SIZE = { width: 900, height: 420 }
const EDGE = { left: 60, right: 210, top: 44, bottom: 48 }
/** Told apart by most people who see colours differently (Okabe and Ito, 2008). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000', '#999999']

export function drawChart({ title, sites, lines, bound }: Chart): string {
  const longest = Math.max(1, bound ?? 0, ...lines.flatMap(({ arrivals }) => arrivals))
  const step = niceStep(longest / 8)
  const endSeconds = Math.ceil(longest / step) * step
  const plot = { width: SIZE.width - EDGE.left - EDGE.right, height: SIZE.height - EDGE.top - EDGE.bottom }
  const x = (seconds: number): string => (EDGE.left + (seconds / endSeconds) * plot.width).toFixed(1)
  const y = (count: number): string => (EDGE.top + (1 - count / sites) * plot.height).toFixed(1)
  const bottom = y(0)
  const parts: string[] = [text(EDGE.left, 24, title, 'start', 15)]

  for (let seconds = 0; seconds <= endSeconds + step / 2; seconds += step) {
    parts.push(line(x(seconds), y(0), x(seconds), y(sites), '#e4e4e4'))
    parts.push(text(x(seconds), SIZE.height - EDGE.bottom + 18, String(Math.round(seconds)), 'middle'))
  }
  const countStep = Math.max(1, niceStep(sites / 8))
  for (let count = 0; count <= sites; count += countStep) {
    parts.push(line(x(0), y(count), x(endSeconds), y(count), '#e4e4e4'))
    parts.push(text(EDGE.left - 8, Number(y(count)) + 4, String(count), 'end'))
  }
  parts.push(text(x(endSeconds / 2), SIZE.height - 10, 'seconds since publish', 'middle'))
  parts.push(
    `<text x="16" y="${SIZE.height / 2}" text-anchor="middle" transform="rotate(-90 16 ${SIZE.height / 2})">sites that have the tree</text>`,
  )
  if (bound !== undefined) {
    parts.push(line(x(bound), bottom, x(bound), y(sites), '#444444', '4 4'))
    parts.push(text(x(bound), EDGE.top - 5, `bound ${bound.toFixed(1)} s`, 'middle'))
  }
  for (const [number, { name, arrivals }] of lines.entries()) {
    const colour = COLOURS[number % COLOURS.length]!
    let path = `M${x(0)} ${bottom}`
    for (const [before, seconds] of arrivals.entries()) path += `H${x(seconds)}V${y(before + 1)}`
    if (arrivals.length === sites) path += `H${x(endSeconds)}`
    parts.push(`<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`)
    const at = EDGE.top + 14 + number * 20
    const left = SIZE.width - EDGE.right + 14
    parts.push(`<path d="M${left} ${at}h18" stroke="${colour}" stroke-width="3"/>`)
    const last = arrivals.length === sites ? `${arrivals.at(-1)!.toFixed(1)} s` : 'not done'
    parts.push(text(left + 24, at + 4, `${name}: ${last}`, 'start'))
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIZE.width} ${SIZE.height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
${parts.join('\n')}
</svg>
`
}

/** 1, 2 or 5 times a power of ten, at least `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least))
  return power * ([1, 2, 5].find((factor) => factor * power >= least) ?? 10)
}

function line(x1: string, y1: string, x2: string, y2: string, colour: string, dashes?: string): string {
  const dashed = dashes === undefined ? '' : ` stroke-dasharray="${dashes}"`
  return `<path d="M${x1} ${y1}L${x2} ${y2}" stroke="${colour}"${dashed}/>`
}

function text(x: number | string, y: number, content: string, anchor: string, size?: number): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x}" y="${y}" text-anchor="${anchor}"${size === undefined ? '' : ` font-size="${size}"`}>${escaped}</text>`
}
