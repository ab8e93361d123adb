/**
 * A pin, new or to be taken away: what it would move is planned by the node before it can be signed, and what is signed
 * is exactly what was planned. When the mesh has moved since, the node says so and nothing happens.
 */
import { useEffect, useState } from 'preact/hooks'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { PinDocument } from '../../api/answers.ts'
import type { PinChange, PinPlan } from '../../api/pin-plan.ts'
import { countOf, formatBytes, formatSeconds } from '../../cli/quantity.ts'
import { Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { getJson, type Problem, postJson } from '../api.ts'
import { html } from '../html.ts'
import { Trouble } from '../parts/load.ts'
import type { Value } from '../signing/encode.ts'
import { quoted, shown } from '../text.ts'
import { describePin, whereFlag, whereText } from './pin-text.ts'

type Where = PinDocument['sites']

export function PinEditor({
  tree,
  status,
  pins = [],
  removes,
  onClose,
}: {
  tree: string
  status: StatusDocument
  /** Those that stand: one for each tree and place, so a new one may take an old one's. */
  pins?: readonly PinDocument[]
  removes?: PinDocument
  onClose: () => void
}) {
  const [pattern, setPattern] = useState(tree)
  const [where, setWhere] = useState<Where>(removes?.sites ?? { all: true })
  const [checkout, setCheckout] = useState('')
  const [versions, setVersions] = useState('')
  const [last, setLast] = useState('')
  const [days, setDays] = useState('')
  const [include, setInclude] = useState('')
  const [exclude, setExclude] = useState('')
  const [copies, setCopies] = useState('')
  const [priority, setPriority] = useState('')
  const [isUrgent, setUrgent] = useState(false)
  const replaced = pins.find(
    (pin) => pin.tree === pattern && JSON.stringify(pin.sites) === JSON.stringify(where),
  )
  const change: PinChange = {
    tree: pattern,
    sites: where as PinChange['sites'],
    removed: removes !== undefined,
    ...(checkout === '' ? {} : { checkout }),
    ...(checkout === '' || versions === '' ? {} : { versions: Number(versions) }),
    ...(last === '' && days === ''
      ? {}
      : {
          keep: {
            ...(last === '' ? {} : { last: Number(last) }),
            ...(days === '' ? {} : { days: Number(days) }),
          },
        }),
    ...(include === '' && exclude === ''
      ? {}
      : { paths: { include: namesIn(include), exclude: namesIn(exclude) } }),
    ...(copies === '' ? {} : { copies: Number(copies) }),
    ...(priority === '' ? {} : { priority: Number(priority) }),
    ...(isUrgent ? { class: 'urgent' as const } : {}),
  }
  const { plan, problem } = usePlan(change)
  const run = async (): Promise<undefined> => {
    const { pin } = await getJson<PinPlan>(`/api/v1/pins/plan/${plan!.id}`)
    await sign('pin', pin as unknown as Value)
    return undefined
  }
  const text = (set: (value: string) => void) => (event: InputEvent) =>
    set((event.target as HTMLInputElement).value)
  return html`<${Dialog} title=${removes === undefined ? 'Pin a tree' : `Remove the pin for ${whereText(removes.sites)}`}
    confirm=${removes === undefined ? 'Pin it' : 'Remove the pin'} isHarmful=${removes !== undefined}
    isReady=${plan !== undefined} signs=${{ right: 'pins' }} command=${commandOf(change)} run=${run} onClose=${onClose}>
    ${
      removes === undefined
        ? html`<div class="fields">
          <label>Tree or pattern <input type="text" value=${pattern} onInput=${text(setPattern)} spellcheck=${false} /></label>
          <${WhereField} where=${where} status=${status} onChange=${setWhere} />
          <label>Check-out <input type="text" value=${checkout} onInput=${text(setCheckout)} placeholder="/srv/… at each site; none when empty" spellcheck=${false} /></label>
          ${checkout !== '' && html`<label>Versions side by side <input type="number" min="1" max="100" value=${versions} onInput=${text(setVersions)} placeholder="only the newest" /></label>`}
          <label>Keep the newest <input type="number" min="1" value=${last} onInput=${text(setLast)} placeholder="as the sites say" /></label>
          <label>Keep for days <input type="number" min="1" value=${days} onInput=${text(setDays)} placeholder="as the sites say" /></label>
          <label>Only what lies at <input type="text" value=${include} onInput=${text(setInclude)} placeholder="all of it; x86_64 repodata" spellcheck=${false} /></label>
          <label>But not at <input type="text" value=${exclude} onInput=${text(setExclude)} placeholder="x86_64/debug" spellcheck=${false} /></label>
          <label>Copies at least <input type="number" min="2" max="16" value=${copies} onInput=${text(setCopies)} placeholder="no minimum; needs updated sites" /></label>
          <label>Priority <input type="number" min="1" max="9" value=${priority} onInput=${text(setPriority)} placeholder="5; the higher is fetched first" /></label>
          <label class="check"><input type="checkbox" checked=${isUrgent} onChange=${(event: Event) => setUrgent((event.target as HTMLInputElement).checked)} />
            Urgent: waits for nothing, and no cap holds it up</label>
        </div>`
        : html`<p>The sites stop to follow <b>${shown(tree)}</b> by this pin. What they hold stays there until it is collected.</p>`
    }
    ${removes === undefined && replaced !== undefined && html`<p class="notice warn">There is a pin for this place: it is replaced, with all that it says (${describePin(replaced)}).</p>`}
    <${Preview} plan=${plan} problem=${problem} />
  </${Dialog}>`
}

function usePlan(change: PinChange): { plan: PinPlan | undefined; problem: Problem | undefined } {
  const text = JSON.stringify(change)
  const [state, setState] = useState<{ of?: string; plan?: PinPlan; problem?: Problem }>({})
  useEffect(() => {
    const controller = new AbortController()
    // While somebody types nothing is planned.
    const timer = setTimeout(() => {
      postJson<PinPlan>('/api/v1/pins/plan', JSON.parse(text), controller.signal).then(
        (plan) => setState({ of: text, plan }),
        (problem: Problem) => {
          if (!controller.signal.aborted) setState({ of: text, problem })
        },
      )
    }, 250)
    return () => {
      clearTimeout(timer)
      controller.abort()
    }
  }, [text])
  return state.of === text
    ? { plan: state.plan, problem: state.problem }
    : { plan: undefined, problem: undefined }
}

function Preview({ plan, problem }: { plan: PinPlan | undefined; problem: Problem | undefined }) {
  if (problem !== undefined) return html`<${Trouble} problem=${problem} />`
  if (plan === undefined) return html`<p class="quiet" role="status">Planning …</p>`
  return html`<div class="plan" role="status">
    <p><b>${plan.bytes === 0 ? 'Nothing has to move' : `${formatBytes(plan.bytes)} to move`}</b>${
      plan.bytes > 0 && html` to ${countOf(plan.sites.filter(({ bytes }) => bytes > 0).length, 'site')}`
    }${plan.seconds !== null && plan.bytes > 0 && html`, done in about ${formatSeconds(plan.seconds)}`}. <small class="quiet">plan ${plan.id}</small></p>
    ${
      plan.sites.length > 0 &&
      html`<div class="scroll-x"><table>
        <thead><tr><th>Site</th><th class="number">To fetch</th><th>From</th><th class="number">Time</th><th class="number">Disk after</th></tr></thead>
        <tbody>${plan.sites.map(
          ({ site, bytes, trees, seconds, freeAfterBytes }) => html`<tr key=${site}>
            <td>${shown(site)}</td>
            <td class="number">${trees.some(({ isUpperBound }) => isUpperBound) && bytes > 0 ? 'at most ' : ''}${formatBytes(bytes)}</td>
            <td class="quiet">${[...new Set(trees.flatMap(({ from }) => from))].slice(0, 3).map(shown).join(', ') || 'nobody yet'}</td>
            <td class="number">${seconds === null ? '?' : formatSeconds(seconds)}</td>
            <td class="number ${freeAfterBytes !== null && freeAfterBytes < 0 ? 'bad' : ''}">${freeAfterBytes === null ? '?' : freeAfterBytes < 0 ? 'does not fit' : `${formatBytes(freeAfterBytes)} free`}</td>
          </tr>`,
        )}</tbody></table></div>`
    }
    ${plan.released.map(({ site, trees }) => html`<p key=${site} class="quiet">${shown(site)} lets go of ${trees.map(shown).join(', ')}.</p>`)}
    ${plan.notes.map((note) => html`<p key=${note} class="quiet">${shown(note)}</p>`)}
  </div>`
}

function WhereField({
  where,
  status,
  onChange,
}: {
  where: Where
  status: StatusDocument
  onChange: (where: Where) => void
}) {
  const names = (values: readonly string[]): string[] => [...new Set(values)].toSorted()
  const choices: { label: string; where: Where }[] = [
    { label: 'Every site', where: { all: true } },
    ...names(status.sites.map(({ region }) => region)).map((region) => ({
      label: `Region ${region}`,
      where: { region },
    })),
    ...names(status.sites.flatMap(({ labels }) => labels)).map((label) => ({
      label: `Label ${label}`,
      where: { label },
    })),
    ...names(status.sites.map(({ site }) => site)).map((site) => ({
      label: `Site ${site}`,
      where: { site },
    })),
  ]
  const key = JSON.stringify(where)
  return html`<label>Where <select onChange=${(event: Event) => onChange(JSON.parse((event.target as HTMLSelectElement).value) as Where)}>
    ${choices.map(({ label, where: each }) => {
      const value = JSON.stringify(each)
      return html`<option key=${value} value=${value} selected=${value === key}>${shown(label)}</option>`
    })}
  </select></label>`
}

/** Paths have no spaces in them here: those that do are named with the command line. */
function namesIn(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter((each) => each !== ''))].toSorted()
}

function commandOf({
  tree,
  sites,
  checkout,
  versions,
  keep,
  paths,
  copies,
  priority,
  class: kind,
  removed,
}: PinChange): string {
  return [
    `mirrormesh pin ${removed ? 'remove' : 'add'} ${quoted(tree)} ${whereFlag(sites as Where)}`,
    ...(checkout === undefined ? [] : [`--checkout ${quoted(checkout)}`]),
    ...(versions === undefined ? [] : [`--versions ${versions}`]),
    ...(keep?.last === undefined ? [] : [`--keep-last ${keep.last}`]),
    ...(keep?.days === undefined ? [] : [`--keep-days ${keep.days}`]),
    ...(paths?.include ?? []).map((path) => `--path ${quoted(path)}`),
    ...(paths?.exclude ?? []).map((path) => `--exclude-path ${quoted(path)}`),
    ...(copies === undefined ? [] : [`--min-copies ${copies}`]),
    ...(priority === undefined ? [] : [`--priority ${priority}`]),
    ...(kind === undefined ? [] : ['--urgent']),
  ].join(' ')
}
