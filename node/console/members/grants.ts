/** What admins lend to other keys: listed, given, changed and taken back. */
import { useState } from 'preact/hooks'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { GrantDocument } from '../../api/routes/grant-routes.ts'
import { Action, Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { html } from '../html.ts'
import { now } from '../live.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { useRecords } from '../parts/use-records.ts'
import { linkTo } from '../route.ts'
import { useValue } from '../state.ts'
import { age, atTime, quoted, shortId, shown } from '../text.ts'
import { GrantDialog } from './grant-dialog.ts'
import { nextOf } from './next-grant.ts'
import { grantBody } from './record-bodies.ts'

const TONES: Readonly<Record<GrantDocument['state'], string>> = {
  active: 'good',
  expired: '',
  removed: '',
  revoked: 'bad',
}

export function Grants({ status }: { status: StatusDocument }) {
  const nowMs = useValue(now)
  const [isAll, setAll] = useState(false)
  const { value, problem, reload } = useDocument<{ grants: GrantDocument[] }>('/api/v1/grants')
  useRecords(['grant', 'revocation'], reload)
  const all = value?.grants ?? []
  const grants = isAll ? all : all.filter(({ state }) => state === 'active')
  const done = (onClose: () => void) => (): void => {
    onClose()
    reload()
  }
  return html`<section class="card" aria-labelledby="grants-title">
    <header class="card-head"><h2 id="grants-title">Grants</h2><div class="tools">
      ${all.some(({ state }) => state !== 'active') && html`<label class="check"><input type="checkbox" checked=${isAll} onChange=${(event: Event) => setAll((event.target as HTMLInputElement).checked)} /> Those that ended too</label>`}
      <${Action} label="Give a right" tone="primary" dialog=${(onClose: () => void) => html`<${GrantDialog} status=${status} grants=${all} onClose=${done(onClose)} />`} /></div></header>
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    ${
      value !== undefined &&
      (grants.length === 0
        ? html`<p class="nothing">No key has been lent a part of what admins may do. An <b>operator</b> pins, tags or drains, a <b>publisher</b> creates trees of some names and publishes them, a <b>reader</b> reads private trees.</p>`
        : html`<div class="scroll-x" tabindex="0" role="region" aria-labelledby="grants-title"><table>
          <thead><tr><th>Name</th><th>Role</th><th>Trees</th><th>May</th><th>Key</th><th>Until</th><th>Given</th><th></th></tr></thead>
          <tbody>${grants.map(
            (grant) => html`<tr key=${grant.record}>
              <td><b>${shown(grant.name)}</b></td>
              <td class="nowrap">${grant.role}${grant.state !== 'active' && html` <span class="tag ${TONES[grant.state]}">${grant.state}</span>`}</td>
              <td class="entry"><code>${grant.trees.map(shown).join(' ')}</code></td>
              <td>${grant.role === 'publisher' ? 'create, publish' : grant.role === 'reader' ? 'read' : grant.may.join(', ')}</td>
              <td>${grant.site === null ? html`<code title=${grant.peer}>${shortId(grant.peer)}</code>` : html`<a href=${linkTo('sites', grant.site)}>${shown(grant.site)}</a>`}</td>
              <td class="nowrap">${grant.expiresMs === null ? html`<span class="quiet">without end</span>` : atTime(grant.expiresMs)}</td>
              <td class="nowrap quiet" title=${atTime(grant.timeMs)}>${age(grant.timeMs, nowMs)} ago</td>
              <td class="buttons">
                <${Action} label=${grant.state === 'active' ? 'Change' : 'Give again'} tone="quiet" dialog=${(onClose: () => void) => html`<${GrantDialog} status=${status} grants=${all} before=${grant} onClose=${done(onClose)} />`} />
                ${grant.state !== 'removed' && html`<${Action} label="Take back" tone="quiet" dialog=${(onClose: () => void) => html`<${TakeBack} grant=${grant} onClose=${done(onClose)} />`} />`}
              </td>
            </tr>`,
          )}</tbody></table></div>`)
    }
  </section>`
}

const LOST: Readonly<Record<GrantDocument['role'], string>> = {
  operator: 'its pins are lifted, its tags go, what it drained is back in service',
  publisher: 'the trees that it created disappear',
  reader: 'nothing else',
}

function TakeBack({ grant, onClose }: { grant: GrantDocument; onClose: () => void }) {
  const [isDiscarding, setDiscarding] = useState(false)
  const { peer, site, name, role, trees } = grant
  const run = async (): Promise<undefined> => {
    const { version, chain } = await nextOf(grant)
    await sign('grant', grantBody(grant, { version, chain: isDiscarding ? null : chain, isRemoved: true }))
    return undefined
  }
  const command = [
    `mirrormesh grant revoke ${quoted(site ?? peer)} --role ${role} --name ${quoted(name)}`,
    ...(isDiscarding ? ['--discard-all'] : []),
  ].join(' ')
  return html`<${Dialog} title=${`Take ${name} back`} confirm="Take it back" isHarmful signs=${{}} run=${run} onClose=${onClose} command=${command}>
    <p><b>${shown(site ?? shortId(peer))}</b> is ${role} of <code>${trees.map(shown).join(' ')}</code> no more. ${
      role === 'reader'
        ? 'What it has read stays with it.'
        : isDiscarding
          ? html`<b>And what it did until now does not count any more</b>: ${LOST[role]}.`
          : 'What it did by it until now stays.'
    }</p>
    ${
      role !== 'reader' &&
      html`<label class="check"><input type="checkbox" checked=${isDiscarding} onChange=${(event: Event) => setDiscarding((event.target as HTMLInputElement).checked)} />
      What it did by it shall not count either</label>`
    }
  </${Dialog}>`
}
