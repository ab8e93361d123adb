/** What admins, and operators who may drain, say of a site: its labels, and whether it is in service. */
import { useState } from 'preact/hooks'
import { isSegment } from '../../../src/base/names.ts'
import type { SiteStatus } from '../../../src/replica/status/status.ts'
import { Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { html } from '../html.ts'
import { nextVersion } from '../signing/record.ts'
import { quoted, shown } from '../text.ts'

const MAX_NOTE_CHARACTERS = 256

async function say(
  site: SiteStatus,
  change: { labels?: readonly string[]; drained?: boolean; note?: string },
): Promise<undefined> {
  const { labels = site.labels, drained = site.drained, note = site.note } = change
  await sign('site', {
    site: site.site,
    labels: [...new Set(labels)].toSorted(),
    drained,
    note,
    version: await nextVersion('site', site.site),
  })
  return undefined
}

export function DrainDialog({ site, onClose }: { site: SiteStatus; onClose: () => void }) {
  const [note, setNote] = useState('')
  const name = quoted(site.site)
  if (site.drained) {
    return html`<${Dialog} title=${`Put ${site.site} back into service`} confirm="Back into service" signs=${{ right: 'drains' }}
      command=${`mirrormesh site undrain ${name}`} run=${() => say(site, { drained: false, note: '' })} onClose=${onClose}>
      <p>It catches up with the trees that are pinned to it, and is counted again.</p>
    </${Dialog}>`
  }
  return html`<${Dialog} title=${`Drain ${site.site}`} confirm="Drain it" isHarmful signs=${{ right: 'drains' }} onClose=${onClose}
    command=${`mirrormesh site drain ${name}${note === '' ? '' : ` --note ${quoted(note)}`}`} run=${() => say(site, { drained: true, note })}>
    <p>It keeps and serves what it has. It fetches nothing more, its check-outs stay where they are, clients are not sent there,
      and nobody waits for it. What it publishes itself goes on.</p>
    <div class="fields"><label>Why <input type="text" maxlength=${MAX_NOTE_CHARACTERS} value=${note} autofocus placeholder="the rack is moved"
      onInput=${(event: InputEvent) => setNote((event.target as HTMLInputElement).value)} /></label></div>
  </${Dialog}>`
}

export function LabelDialog({ site, onClose }: { site: SiteStatus; onClose: () => void }) {
  const [text, setText] = useState(site.labels.join(' '))
  const labels = text.split(/[\s,]+/).filter((each) => each !== '')
  const wrong = labels.find((each) => !isSegment(each))
  const changes = [
    ...labels.filter((each) => !site.labels.includes(each)),
    ...site.labels.filter((each) => !labels.includes(each)).map((each) => `${each}-`),
  ]
  return html`<${Dialog} title=${`Labels of ${site.site}`} confirm="Set the labels" signs=${{}} onClose=${onClose}
    isReady=${wrong === undefined && changes.length > 0 && labels.length <= 32}
    command=${changes.length === 0 ? undefined : `mirrormesh site label ${quoted(site.site)} ${changes.map(quoted).join(' ')}`}
    run=${() => say(site, { labels })}>
    <p>Labels name groups of sites across regions. A pin by label is for all that have it, also for those that get it later: what is
      pinned by a label that goes is let go of.</p>
    <div class="fields"><label>Labels <input type="text" value=${text} autofocus spellcheck=${false} placeholder="office czech"
      onInput=${(event: InputEvent) => setText((event.target as HTMLInputElement).value)} /></label></div>
    ${wrong !== undefined && html`<p class="notice warn">${shown(wrong)}: 1 to 64 of a-z, 0-9, ".", "_" and "-".</p>`}
  </${Dialog}>`
}
