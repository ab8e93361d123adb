/** A right for a key, new or changed: the role, the trees, what an operator may, and until when. */
import { useState } from 'preact/hooks'
import { isTreePattern } from '../../../src/base/names.ts'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { GrantDocument } from '../../api/routes/grant-routes.ts'
import type { AdminsDocument } from '../../api/schema/member-answers.ts'
import { Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { getJson } from '../api.ts'
import { html } from '../html.ts'
import { type KeyChoice, keyName, keyOf, PublisherField } from '../parts/publisher-field.ts'
import { quoted, shortId, shown } from '../text.ts'
import { nextOf } from './next-grant.ts'
import { grantBody } from './record-bodies.ts'

type Role = GrantDocument['role']
type Right = GrantDocument['may'][number]

const ROLES: readonly { role: Role; means: string }[] = [
  { role: 'operator', means: 'pins, tags, drains' },
  { role: 'publisher', means: 'creates and publishes' },
  { role: 'reader', means: 'reads private trees' },
]
const RIGHTS: readonly { right: Right; means: string }[] = [
  { right: 'pins', means: 'pins of these trees' },
  { right: 'tags', means: 'tags of these trees' },
  { right: 'drains', means: 'drains of any site' },
]
const DAY_MS = 86_400_000

export function GrantDialog({
  status,
  grants,
  before,
  onClose,
}: {
  status: StatusDocument
  grants: readonly GrantDocument[]
  /** Changed, or given again. */
  before?: GrantDocument
  onClose: () => void
}) {
  const other = status.sites.find(({ state }) => state !== 'self') ?? status.sites[0]
  const [choice, setChoice] = useState<KeyChoice>(firstChoice(before?.peer, status, other?.peer ?? ''))
  const [role, setRole] = useState<Role>(before?.role ?? 'operator')
  const [trees, setTrees] = useState(before?.trees.join(' ') ?? '')
  const [may, setMay] = useState<readonly Right[]>(before?.may ?? ['pins', 'tags'])
  const [named, setName] = useState(before?.name ?? '')
  const [days, setDays] = useState(before?.expiresMs == null ? '' : daysUntil(before.expiresMs))
  const peer = keyOf(choice)
  const who = keyName(choice, status)
  const name = named.trim() === '' ? who : named.trim()
  const patterns = [...new Set(trees.split(/[\s,]+/).filter((each) => each !== ''))].toSorted()
  const wrong = patterns.find((each) => !isTreePattern(each))
  const rights =
    role === 'operator' ? RIGHTS.map(({ right }) => right).filter((each) => may.includes(each)) : []
  const replaced =
    before === undefined &&
    grants.some(
      (each) => each.peer === peer && each.role === role && each.name === name && each.state === 'active',
    )
  const run = async (): Promise<undefined> => {
    const { keys } = await getJson<AdminsDocument>('/api/v1/admins')
    if (keys.includes(peer!)) throw new Error(`${who} is an admin, who needs no grant`)
    const terms = {
      ...{ peer: peer!, role, name, trees: patterns, may: rights },
      expiresMs: days === '' ? null : Date.now() + Number(days) * DAY_MS,
    }
    await sign('grant', grantBody(terms, await nextOf(terms)))
    return undefined
  }
  const command = [
    `mirrormesh grant add ${who} --role ${role}`,
    ...(patterns.length === 0 ? ['--tree PATTERN'] : patterns.map((each) => `--tree ${quoted(each)}`)),
    ...rights.map((right) => `--may ${right}`),
    ...(name === who ? [] : [`--name ${quoted(name)}`]),
    ...(days === '' ? [] : [`--expires ${days}d`]),
  ].join(' ')
  const text = (set: (value: string) => void) => (event: InputEvent) =>
    set((event.target as HTMLInputElement).value)
  const toggle = (right: Right) => (event: Event) => {
    const isOn = (event.target as HTMLInputElement).checked
    setMay((old) => (isOn ? [...old, right] : old.filter((each) => each !== right)))
  }
  return html`<${Dialog} title=${before === undefined ? 'Give a right' : `Change ${before.name}`} confirm=${before === undefined ? 'Give it' : 'Change it'} signs=${{}} run=${run} onClose=${onClose}
    isReady=${peer !== undefined && patterns.length > 0 && wrong === undefined && (role !== 'operator' || rights.length > 0) && (days === '' || Number(days) >= 1)}
    command=${command}>
    <div class="fields">
      ${
        before === undefined
          ? html`<${PublisherField} label="To the node of" choice=${choice} status=${status} onChange=${setChoice} />
            <label>Role <select onChange=${(event: Event) => setRole((event.target as HTMLSelectElement).value as Role)}>${ROLES.map(
              (each) =>
                html`<option key=${each.role} value=${each.role} selected=${each.role === role}>${each.role}: ${each.means}</option>`,
            )}</select></label>`
          : html`<p class="wide"><b>${shown(before.site ?? shortId(before.peer))}</b>, ${before.role}</p>`
      }
      <label>Of these trees <input type="text" value=${trees} onInput=${text(setTrees)} autofocus placeholder="builds/** logs/*; ** for all" spellcheck=${false} /></label>
      ${before === undefined && html`<label>Called, for people <input type="text" maxlength="256" value=${named} onInput=${text(setName)} placeholder=${who === 'SITE' ? '' : who} /></label>`}
      <label>Counts for days <input type="number" min="1" max="36500" value=${days} onInput=${text(setDays)} placeholder="without end" /></label>
      ${
        role === 'operator' &&
        html`<div class="wide checks" role="group" aria-label="What the operator may">${RIGHTS.map(
          ({ right, means }) =>
            html`<label key=${right} class="check"><input type="checkbox" checked=${may.includes(right)} onChange=${toggle(right)} /> ${means}</label>`,
        )}</div>`
      }
    </div>
    ${wrong !== undefined && html`<p class="notice warn">${shown(wrong)} is no name or pattern of trees.</p>`}
    ${replaced && html`<p class="notice warn">It has a grant of that role and name already: this takes its place.</p>`}
    <p class="quiet">What was done by a grant stays when it is changed or ends.${role === 'operator' && ' The node signs for whoever may operate its console: give it to nodes whose users you trust with it.'}</p>
  </${Dialog}>`
}

function firstChoice(peer: string | undefined, status: StatusDocument, otherwise: string): KeyChoice {
  if (peer === undefined) return { peer: otherwise, typed: '' }
  return status.sites.some((each) => each.peer === peer) ? { peer, typed: '' } : { peer: '', typed: peer }
}

function daysUntil(expiresMs: number): string {
  const days = Math.ceil((expiresMs - Date.now()) / DAY_MS)
  return days < 1 ? '' : String(days)
}
