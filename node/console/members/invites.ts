/** Invites: made in the page, shown once; those that are open can be taken back. */
import { useState } from 'preact/hooks'
import { isSegment } from '../../../src/base/names.ts'
import type { SelfDocument } from '../../api/answers.ts'
import type { InviteDocument } from '../../api/schema/member-answers.ts'
import { Action, Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { getJson } from '../api.ts'
import { html } from '../html.ts'
import { now } from '../live.ts'
import { Command } from '../parts/command.ts'
import { useDocument } from '../parts/load.ts'
import { linkOf } from '../signing/encode.ts'
import { inviteBody, inviteToken } from '../signing/invite.ts'
import { useValue } from '../state.ts'
import { age, atTime, quoted, shown } from '../text.ts'

const SHOWN = 50
const HOUR_MS = 3_600_000
const TONES: Readonly<Record<InviteDocument['state'], string>> = {
  open: 'info',
  used: 'good',
  expired: '',
  withdrawn: 'warn',
}

export function Invites({ regions }: { regions: readonly string[] }) {
  const nowMs = useValue(now)
  const { value, reload } = useDocument<{ invites: InviteDocument[] }>('/api/v1/invites')
  const invites = value?.invites ?? []
  const done = (onClose: () => void) => () => {
    onClose()
    reload()
  }
  return html`<section class="card" aria-labelledby="invites-title">
    <header class="card-head"><h2 id="invites-title">Invites</h2>
      <${Action} label="Invite a site" dialog=${(onClose: () => void) => html`<${Invite} regions=${regions} onClose=${done(onClose)} />`} /></header>
    ${
      invites.length === 0
        ? html`<p class="nothing">No invite has been made yet.</p>`
        : html`<div class="scroll-x" tabindex="0" role="region" aria-labelledby="invites-title"><table>
          <thead><tr><th>Site</th><th>Region</th><th>State</th><th>Until</th><th>Made</th><th></th></tr></thead>
          <tbody>${invites.slice(0, SHOWN).map(
            (invite) => html`<tr key=${invite.id}>
              <td>${shown(invite.site)}</td><td>${shown(invite.region)}</td>
              <td><span class="tag ${TONES[invite.state]}">${invite.state}</span></td>
              <td class="nowrap">${atTime(invite.expiresMs)}</td>
              <td class="nowrap quiet">${age(invite.timeMs, nowMs)} ago</td>
              <td class="buttons">${invite.state === 'open' && html`<${Action} label="Withdraw" tone="quiet" dialog=${(onClose: () => void) => html`<${Withdraw} invite=${invite} onClose=${done(onClose)} />`} />`}</td>
            </tr>`,
          )}</tbody></table></div>`
    }
  </section>`
}

function Invite({ regions, onClose }: { regions: readonly string[]; onClose: () => void }) {
  const [site, setSite] = useState('')
  const [region, setRegion] = useState(regions[0] ?? '')
  const [hours, setHours] = useState('24')
  const text = (set: (value: string) => void) => (event: InputEvent) =>
    set((event.target as HTMLInputElement).value)
  const run = async () => {
    const self = await getJson<SelfDocument>('/api/v1/self')
    if (!self.addresses.some((address) => !address.includes('/p2p-circuit')))
      throw new Error(
        'this node listens nowhere, so nobody can join through it: set listen in its config file',
      )
    const secret = crypto.getRandomValues(new Uint8Array(32))
    const invitation = { site, region, expiresMs: Date.now() + Number(hours) * HOUR_MS, secret, self }
    const token = inviteToken(invitation, await sign('invite', inviteBody(invitation)))
    return html`<p>At ${shown(site)}, on the machine of the new node. The token lets one node in, once; it is shown here this once.</p>
      <${Command} text=${`mirrormesh join ${token}`} /><${Command} text="mirrormesh daemon" />`
  }
  return html`<${Dialog} title="Invite a site" confirm="Make the invite" signs=${{}} run=${run} onClose=${onClose}
    isReady=${isSegment(site) && isSegment(region) && Number(hours) > 0}
    command=${`mirrormesh invite create --site ${quoted(site || 'SITE')} --region ${quoted(region || 'REGION')} --expires ${hours}h`}>
    <div class="fields">
      <label>Site <input type="text" value=${site} onInput=${text(setSite)} autofocus placeholder="lab-a" spellcheck=${false} /></label>
      <label>Region <input type="text" value=${region} onInput=${text(setRegion)} list="regions" spellcheck=${false} />
        <datalist id="regions">${regions.map((each) => html`<option key=${each} value=${each}></option>`)}</datalist></label>
      <label>Counts for hours <input type="number" min="1" max="8760" value=${hours} onInput=${text(setHours)} /></label>
    </div>
    <p class="quiet">Sites of one region share what comes in from others: those between which links are near and cheap.</p>
  </${Dialog}>`
}

function Withdraw({ invite, onClose }: { invite: InviteDocument; onClose: () => void }) {
  const run = async (): Promise<undefined> => {
    await sign('withdrawal', { invite: linkOf(invite.id) })
    return undefined
  }
  return html`<${Dialog} title=${`Withdraw the invite of ${invite.site}`} confirm="Withdraw it" isHarmful signs=${{}} run=${run} onClose=${onClose}
    command=${`mirrormesh invite revoke ${quoted(invite.site)}`}>
    <p>Its token admits nobody any more. A node that has joined by it already stays: that is ended by revoking the member.</p>
  </${Dialog}>`
}
