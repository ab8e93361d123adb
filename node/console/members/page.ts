/** Who is in the mesh, who asks to come in, who may say what. */
import { useEffect, useState } from 'preact/hooks'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { MemberDocument } from '../../api/schema/member-answers.ts'
import { countOf } from '../../cli/quantity.ts'
import { Action, Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { html } from '../html.ts'
import { now, onEvent } from '../live.ts'
import type { PageProps } from '../page-props.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { linkTo } from '../route.ts'
import { linkOf, publicKeyOf } from '../signing/encode.ts'
import { useValue } from '../state.ts'
import { age, atTime, quoted, shortId, shown } from '../text.ts'
import { Admins } from './admins.ts'
import { Grants } from './grants.ts'
import { Invites } from './invites.ts'
import { Requests } from './requests.ts'

const SHOWN = 300

const VIEWS = [
  { view: '', title: 'Nodes' },
  { view: 'grants', title: 'Grants' },
  { view: 'admins', title: 'Admins' },
] as const

export function Members({ status, route }: PageProps) {
  const view = route.query.get('view') ?? ''
  return html`<div class="page-head"><div><h1 tabindex="-1">Members</h1>
      <p class="quiet">Who takes part in this mesh, and who may say what</p></div></div>
    <nav class="tabs" aria-label="Of the members"><ul>
      ${VIEWS.map(
        (each) =>
          html`<li key=${each.view}><a href=${linkTo('members', '', each.view === '' ? {} : { view: each.view })} aria-current=${each.view === view ? 'page' : undefined}>${each.title}</a></li>`,
      )}
    </ul></nav>
    ${view === 'grants' ? html`<${Grants} status=${status} />` : view === 'admins' ? html`<${Admins} status=${status} />` : html`<${Nodes} status=${status} />`}`
}

function Nodes({ status }: { status: StatusDocument }) {
  const { value, problem, reload } = useDocument<{ members: MemberDocument[] }>(
    '/api/v1/members',
    0,
    `${status.sites.length}`,
  )
  useEffect(() => onEvent('record', reload), [])
  const regions = [...new Set(status.sites.map(({ region }) => region))].toSorted()
  const members = value?.members ?? []
  return html`
    <${Requests} onChange=${reload} />
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    <${Table} members=${members} onChange=${reload} />
    <${Invites} regions=${regions} />`
}

function Table({ members, onChange }: { members: readonly MemberDocument[]; onChange: () => void }) {
  const nowMs = useValue(now)
  return html`<section class="card" aria-labelledby="members-title">
    <header class="card-head"><h2 id="members-title">Nodes</h2><span class="quiet">${countOf(members.filter(({ state }) => state === 'active').length, 'node')} may take part</span></header>
    <div class="scroll-x" tabindex="0" role="region" aria-labelledby="members-title"><table>
      <thead><tr><th>Site</th><th>Region</th><th>State</th><th>Key</th><th>Publishes</th><th>Since</th><th></th></tr></thead>
      <tbody>${members.slice(0, SHOWN).map(
        (member) => html`<tr key=${member.peer}>
          <td><a href=${linkTo('sites', member.site)}><b>${shown(member.site)}</b></a></td>
          <td>${shown(member.region)}</td>
          <td class="nowrap"><span class="tag ${member.state === 'active' ? 'good' : 'bad'}">${member.state}</span>${member.isConnected && html` <span class="quiet">connected</span>`}</td>
          <td><code title=${member.peer}>${shortId(member.peer)}</code></td>
          <td class="quiet">${member.publishes.length === 0 ? '-' : member.publishes.slice(0, 3).map(shown).join(', ')}${member.publishes.length > 3 && ` and ${member.publishes.length - 3} more`}</td>
          <td class="nowrap quiet" title=${atTime(member.timeMs)}>${age(member.timeMs, nowMs)}</td>
          <td class="buttons">${
            member.state !== 'revoked' &&
            html`<${Action} label="Revoke" tone="quiet" dialog=${(onClose: () => void) =>
              html`<${Revoke} member=${member} onClose=${() => {
                onClose()
                onChange()
              }} />`} />`
          }</td>
        </tr>`,
      )}</tbody></table></div>
    ${members.length > SHOWN && html`<p class="nothing">and ${members.length - SHOWN} more: mirrormesh member list</p>`}
  </section>`
}

function Revoke({ member, onClose }: { member: MemberDocument; onClose: () => void }) {
  const [reason, setReason] = useState('')
  const [typed, setTyped] = useState('')
  const { chain, peer, site } = member
  const run = async (): Promise<undefined> => {
    await sign('revocation', {
      key: publicKeyOf(peer),
      counter: chain.counter,
      last: chain.last === null ? null : linkOf(chain.last),
      reason: reason.trim(),
    })
    return undefined
  }
  const text = (set: (value: string) => void) => (event: InputEvent) =>
    set((event.target as HTMLInputElement).value)
  return html`<${Dialog} title=${`Revoke ${site}`} confirm="Revoke it for good" isHarmful signs=${{}} run=${run} onClose=${onClose}
    isReady=${reason.trim() !== '' && typed === site} command=${`mirrormesh member revoke ${quoted(site)} --reason ${quoted(reason || 'WHY')}`}>
    <p>Every node that hears of it closes its connections to <b>${shown(site)}</b> and serves it nothing more. <b>There is no way back</b>: the
      machine joins again with a new home and a new invite. What its key signed until now still counts; what it holds on its disks stays there.</p>
    ${member.publishes.length > 0 && html`<p class="notice warn">It publishes ${member.publishes.map(shown).join(', ')}: hand these over to another site, in the settings of each tree.</p>`}
    <div class="fields">
      <label>Why; everybody sees it <input type="text" maxlength="256" value=${reason} onInput=${text(setReason)} autofocus placeholder="stolen from the rack" /></label>
      <label>Type ${shown(site)} to be sure <input type="text" value=${typed} onInput=${text(setTyped)} autocomplete="off" spellcheck=${false} /></label>
    </div>
  </${Dialog}>`
}
