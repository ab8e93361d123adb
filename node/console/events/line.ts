/** One record, as a line. */
import type { RecordDocument } from '../../api/schema/member-answers.ts'
import { html } from '../html.ts'
import { age, atTime, shortId, shown } from '../text.ts'

export function EventLine({ record, nowMs }: { record: RecordDocument; nowMs: number }) {
  const { kind, subject, text, issuer, issuerSite, isAdmin, timeMs } = record
  const who = issuerSite ?? (isAdmin ? 'an admin' : shortId(issuer))
  return html`<li>
    <time datetime=${isoOf(timeMs)} title=${atTime(timeMs)}>${age(timeMs, nowMs)}</time>
    <span class="tag kind">${shown(kind)}</span>
    <span class="what"><b>${shown(subject)}</b> <span title=${shown(text)}>${shown(shortened(text))}</span></span>
    <span class="who" title=${issuer}>${shown(who)}</span>
  </li>`
}

/** The issuer's clock may say anything. */
function isoOf(timeMs: number): string | undefined {
  return Math.abs(timeMs) < 8.64e15 ? new Date(timeMs).toISOString() : undefined
}

/** Ids are long, and what follows them matters more here. */
function shortened(text: string): string {
  return text.replace(/\b(12D3KooW\w{6}|bafy\w{10})\w{20,}/g, '$1…')
}
