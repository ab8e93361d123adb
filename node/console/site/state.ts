/** How a site is, as a sign and a word. */
import type { SiteStatus } from '../../../src/replica/status/status.ts'
import { formatSeconds } from '../../cli/quantity.ts'
import { html } from '../html.ts'
import { roughly, shown, silentSeconds } from '../text.ts'

export function SiteState({ site, nowMs }: { site: SiteStatus; nowMs: number }) {
  const { state, drained, note } = site
  const text = {
    self: 'this node',
    up: 'up',
    silent: `silent for ${formatSeconds(roughly(silentSeconds(site, nowMs)))}`,
    'never-seen': 'not heard of yet',
  }[state]
  const tone = { self: 'good', up: 'good', silent: 'bad', 'never-seen': '' }[state]
  return html`<span class="tag ${tone}">${text}</span>${
    drained && html` <span class="tag warn" title=${shown(note)}>drained</span>`
  }`
}
