/** The caps of this node: what holds now, and why; by the time of the week. */

import type { LimitsAnswer } from '../../api/answers.ts'
import { giveWayText } from '../../cli/give-way.ts'
import { CAPS, formatWindow } from '../../cli/limit-window.ts'
import { formatBytes } from '../../cli/quantity.ts'
import type { Limit, ScheduleDocument } from '../../limits.ts'
import { Action } from '../actions/dialog.ts'
import { html } from '../html.ts'
import { session } from '../live.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { useValue } from '../state.ts'
import { atTime, shown } from '../text.ts'
import { LIMITS, LimitsDialog, ScheduleDialog } from './limit-dialogs.ts'

const NAMES: Readonly<Record<keyof typeof CAPS, string>> = {
  'wan-up': 'To other regions',
  'wan-down': 'From other regions',
  'region-up': 'To sites of this region',
  'region-down': 'From sites of this region',
}

export function Limits({ site }: { site: string }) {
  const { value, problem, reload } = useDocument<LimitsAnswer>(LIMITS, 15_000)
  const mayChange = useValue(session)?.scope !== 'read'
  const done = (onClose: () => void) => () => {
    onClose()
    reload()
  }
  if (problem !== undefined && value === undefined) return html`<${Trouble} problem=${problem} />`
  if (value === undefined) return html`<p class="nothing" role="status">Asking this node …</p>`
  return html`<section class="card" aria-labelledby="limits-title">
      <header class="card-head"><h2 id="limits-title">Limits of ${shown(site)}</h2>
        ${mayChange && html`<${Action} label="Change limits" dialog=${(onClose: () => void) => html`<${LimitsDialog} onClose=${done(onClose)} />`} />`}</header>
      <table><thead><tr><th>What it sends and receives</th><th class="number">Now</th><th>From</th></tr></thead>
        <tbody>${Object.entries(CAPS).map(
          ([name, key]) => html`<tr key=${key}><td>${NAMES[name as keyof typeof CAPS]}</td>
            <td class="number">${rate(value[key].value)}</td><td class="quiet">${originOf(value[key])}</td></tr>`,
        )}</tbody></table>
      <${GivingWay} limits=${value} />
    </section>
    <section class="card" aria-labelledby="schedule-title">
      <header class="card-head"><h2 id="schedule-title">Schedule</h2>
        ${mayChange && html`<${Action} label="Change the schedule" dialog=${(onClose: () => void) => html`<${ScheduleDialog} onClose=${done(onClose)} />`} />`}</header>
      ${
        value.schedule === null
          ? html`<p class="nothing">The same limits hold all week.</p>`
          : html`<${Windows} schedule=${value.schedule} />`
      }
    </section>`
}

function GivingWay({
  limits: { giveWayMs, giveWayMinBytesPerSecond: min, paths },
}: {
  limits: LimitsAnswer
}) {
  const least = giveWayMs.value === 0 ? '' : `; over each path ${rate(min.value)} at least`
  return html`<p class="quiet">Other traffic to other regions is ${giveWayText(giveWayMs)}${least}.</p>
    ${
      paths.length > 0 &&
      html`<table><thead><tr><th>Path to</th><th class="number">Queue</th><th class="number">Sent at most</th><th>Now</th></tr></thead>
        <tbody>${paths.map(
          ({
            site,
            peer,
            queueMs,
            bytesPerSecond,
            givesWay,
          }) => html`<tr key=${peer}><td>${shown(site ?? peer)}</td>
            <td class="number">${Math.round(queueMs)} ms</td><td class="number">${rate(bytesPerSecond ?? 0)}</td>
            <td>${givesWay ? html`<span class="tag info">others have the path</span>` : ''}</td></tr>`,
        )}</tbody></table>`
    }`
}

function Windows({ schedule: { timeZone, windows, active, untilMs, from } }: { schedule: ScheduleDocument }) {
  const until = untilMs === null ? '' : `, until ${atTime(untilMs)}`
  return html`<p class="quiet">${from === 'config' ? 'Of config.yaml' : 'As set'}, by the clocks of ${shown(timeZone)}. The first window that holds counts; trees that a pin makes urgent are not held up.</p>
    <table><thead><tr><th>Window</th><th>Now</th></tr></thead>
      <tbody>${windows.map(
        (each, i) => html`<tr key=${i}><td><code>${formatWindow(each)}</code></td>
          <td>${i === active ? html`<span class="tag info">holds</span> <span class="quiet">${until.slice(2)}</span>` : ''}</td></tr>`,
      )}</tbody></table>
    ${active === null && html`<p class="quiet">No window holds now${until}.</p>`}`
}

function rate(value: number): string {
  return value === 0 ? 'no cap' : `${formatBytes(value)}/s`
}

function originOf({ from, configured, otherwise }: Limit): string {
  if (from === 'schedule') return `schedule; else ${rate(otherwise)}`
  return from === 'config' ? 'config.yaml' : `set; config.yaml says ${rate(configured)}`
}
