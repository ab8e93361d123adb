/** Newcomers that asked without an invite: compared by their code, let in by an admin's signature, or turned down. */
import { useEffect, useState } from 'preact/hooks'
import { isSegment } from '../../../src/base/names.ts'
import type { MemberDocument } from '../../api/schema/member-answers.ts'
import { Action, Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { getJson, postJson } from '../api.ts'
import { html } from '../html.ts'
import { now, onEvent, status } from '../live.ts'
import { Command } from '../parts/command.ts'
import { useDocument } from '../parts/load.ts'
import { publicKeyOf } from '../signing/encode.ts'
import { useValue } from '../state.ts'
import { age, quoted, shortId, shown } from '../text.ts'

interface Request {
  readonly peer: string
  readonly code: string
  readonly site: string | null
  readonly region: string | null
  readonly address: string
  readonly sinceMs: number
  readonly viaSite: string
}

const PERIOD_MS = 4000

/** On the overview only when there are any. */
export function Requests({ isQuiet = false, onChange }: { isQuiet?: boolean; onChange?: () => void }) {
  const nowMs = useValue(now)
  const { value, reload } = useDocument<{ requests: Request[] }>('/api/v1/requests', PERIOD_MS)
  useEffect(() => onEvent('record', reload), [])
  const requests = value?.requests ?? []
  if (isQuiet && requests.length === 0) return null
  const done = (onClose: () => void) => () => {
    onClose()
    reload()
    onChange?.()
  }
  return html`<section class="card ${requests.length > 0 ? 'calls' : ''}" aria-labelledby="requests-title">
    <header class="card-head"><h2 id="requests-title">${requests.length === 0 ? 'Requests' : `${requests.length} ${requests.length === 1 ? 'machine asks' : 'machines ask'} to join`}</h2></header>
    ${
      requests.length === 0
        ? html`<p class="quiet">Nobody asks to join. A machine without an invite can ask, and shows a code to compare:</p>
          <${Command} text=${`mirrormesh join --request HOST:PORT --mesh ${status.get()?.mesh.id ?? 'ID'} --site SITE --region REGION`} />`
        : html`<div class="scroll-x" tabindex="0" role="region" aria-labelledby="requests-title"><table>
          <thead><tr><th>Code</th><th>Wishes to be</th><th>From</th><th>Asked at</th><th>Key</th><th></th></tr></thead>
          <tbody>${requests.map(
            (each) => html`<tr key=${each.peer}>
              <td><b class="code">${shown(each.code)}</b></td>
              <td>${shown(each.site ?? '-')} <span class="quiet">${each.region === null ? '' : `in ${shown(each.region)}`}</span></td>
              <td>${shown(each.address)}</td>
              <td>${shown(each.viaSite)} <span class="quiet">${age(each.sinceMs, nowMs)}</span></td>
              <td><code title=${each.peer}>${shortId(each.peer)}</code></td>
              <td class="buttons">
                <${Action} label="Approve" dialog=${(onClose: () => void) => html`<${Approve} request=${each} others=${requests} onClose=${done(onClose)} />`} />
                <${Action} label="Deny" tone="quiet" dialog=${(onClose: () => void) => html`<${Deny} request=${each} onClose=${done(onClose)} />`} />
              </td>
            </tr>`,
          )}</tbody></table></div>`
    }
  </section>`
}

function Approve({
  request,
  others,
  onClose,
}: {
  request: Request
  others: readonly Request[]
  onClose: () => void
}) {
  const [site, setSite] = useState(request.site ?? '')
  const [region, setRegion] = useState(request.region ?? '')
  const [code, setCode] = useState('')
  const digits = (text: string): string => text.replace(/\D/g, '')
  const isSame = digits(code) === digits(request.code) && code !== ''
  const isAmbiguous = others.some((each) => each.code === request.code && each.peer !== request.peer)
  const run = async (): Promise<undefined> => {
    const { members } = await getJson<{ members: (MemberDocument & { version?: number })[] }>(
      '/api/v1/members',
    )
    const taken = members.find(
      (each) => each.site === site && each.state !== 'revoked' && each.peer !== request.peer,
    )
    if (taken !== undefined) throw new Error(`there is a site ${site} already: a site has one node`)
    const before = members.find(({ peer }) => peer === request.peer)
    await sign('member', {
      peer: publicKeyOf(request.peer),
      site,
      region,
      roles: ['site'],
      invite: null,
      expiresMs: null,
      version: (before?.version ?? 0) + 1,
    })
    return undefined
  }
  const text = (set: (value: string) => void) => (event: InputEvent) =>
    set((event.target as HTMLInputElement).value)
  return html`<${Dialog} title="Let a newcomer in" confirm="Let it in" signs=${{}} run=${run} onClose=${onClose}
    isReady=${isSame && !isAmbiguous && isSegment(site) && isSegment(region)}
    command=${`mirrormesh member approve ${quoted(request.code)}${site === request.site ? '' : ` --site ${quoted(site)}`}${region === request.region ? '' : ` --region ${quoted(region)}`}`}>
    <p>It asked at <b>${shown(request.viaSite)}</b> from ${shown(request.address)}, with the key <code>${request.peer}</code>.</p>
    <div class="fields">
      <label>Site <input type="text" value=${site} onInput=${text(setSite)} spellcheck=${false} /></label>
      <label>Region <input type="text" value=${region} onInput=${text(setRegion)} spellcheck=${false} /></label>
      <label>The code that the newcomer shows <input type="text" value=${code} onInput=${text(setCode)} autofocus autocomplete="off" inputmode="numeric" placeholder="0000-0000" /></label>
    </div>
    ${code !== '' && !isSame && digits(code).length >= 8 && html`<p class="notice bad" role="alert">That is another code. Somebody may stand between the newcomer and ${shown(request.viaSite)}: do not let it in.</p>`}
    ${isAmbiguous && html`<p class="notice bad" role="alert">More than one newcomer has this code. Approve by the PeerId, with the command line.</p>`}
    <p class="quiet">The code vouches as far as ${shown(request.viaSite)} is honest; where you would not trust it, compare the key.</p>
  </${Dialog}>`
}

function Deny({ request, onClose }: { request: Request; onClose: () => void }) {
  const run = async (): Promise<undefined> => {
    await postJson(`/api/v1/requests/${encodeURIComponent(request.peer)}/deny`, {})
    return undefined
  }
  return html`<${Dialog} title="Turn a newcomer down" confirm="Turn it down" isHarmful run=${run} onClose=${onClose}
    command=${`mirrormesh member deny ${quoted(request.code)}`}>
    <p>Its key is not listened to for an hour. Only ${shown(request.viaSite)}, where it asked, can turn it down; a request that nobody approves ends by itself.</p>
  </${Dialog}>`
}
