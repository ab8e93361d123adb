/**
 * What is declared of the links, as the text that `topology apply` reads: the node says what a change of it would change, and that
 * is what is signed, unless somebody else has declared something meanwhile.
 */
import { useEffect, useState } from 'preact/hooks'
import type { TopologyDocument } from '../../api/answers.ts'
import type { TopologyPlan } from '../../api/routes/topology-routes.ts'
import { countOf } from '../../cli/quantity.ts'
import { topologyText } from '../../topology/write-file.ts'
import { Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { Problem, postJson } from '../api.ts'
import { html } from '../html.ts'
import { Trouble } from '../parts/load.ts'
import type { Value } from '../signing/encode.ts'
import { nextVersion } from '../signing/record.ts'
import { shown } from '../text.ts'

const PLAN_MS = 400
const SHOWN = 40
const EXAMPLE = `# Rates are those of the pipes to other regions; a plain number is Mbit/s, or ms.
regions:
  eu: { up: 100 Mbit/s, down: 100 Mbit/s }
  us: { up: 1 Gbit/s, down: 1 Gbit/s }
sites:
  lab-7: { up: 5 Mbit/s, down: 25 Mbit/s, reachable: false, subnets: [10.7.0.0/16] }
paths:
  - { between: [eu, us], rtt: 90 ms, rate: 50 Mbit/s, cost: 3 }
`

export function EditDialog({
  declared,
  regions,
  onClose,
}: {
  declared: TopologyDocument['declared']
  regions: ReadonlySet<string>
  onClose: () => void
}) {
  const [text, setText] = useState(() => (declared === null ? '' : topologyText(declared, regions)))
  // What others declared when the dialog was opened: a later state is not what the user changed.
  const [first, setFirst] = useState<string>()
  const { plan, problem } = usePlan(text)
  useEffect(() => {
    if (first === undefined && plan !== undefined) setFirst(plan.etag)
  }, [plan])
  const isStale = plan !== undefined && first !== undefined && plan.etag !== first
  const run = async (): Promise<undefined> => {
    const version = await nextVersion('topology', 'topology')
    try {
      await sign('topology', { ...(plan!.topology as unknown as { [key: string]: Value }), version }, first)
    } catch (error) {
      if (error instanceof Problem && error.status === 412) throw new Error(STALE)
      throw error
    }
    return undefined
  }
  return html`<${Dialog} title="Declare the links" confirm="Declare it" isWide signs=${{}} run=${run} onClose=${onClose}
    isReady=${plan !== undefined && plan.changes.length > 0 && !isStale} command="mirrormesh topology apply links.yaml">
    <label class="stacked">Regions, sites and paths, in place of what is declared now
      <textarea class="editor" rows="14" spellcheck=${false} autofocus value=${text} placeholder=${EXAMPLE} onInput=${(event: InputEvent) => setText((event.target as HTMLTextAreaElement).value)}></textarea></label>
    ${isStale && html`<p class="notice bad" role="alert">${STALE}</p>`}
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    ${plan !== undefined && html`<${Changes} plan=${plan} />`}
  </${Dialog}>`
}

const STALE = 'Somebody else has declared other links since this was opened. Nothing was done: open it again.'
const MARKS = {
  added: { mark: '+', tone: 'added' },
  removed: { mark: '−', tone: 'removed' },
  changed: { mark: '~', tone: 'changed' },
} as const

function Changes({ plan: { changes, warnings } }: { plan: TopologyPlan }) {
  return html`<div class="plan" role="status">
    <p><b>${changes.length === 0 ? 'Nothing changes' : countOf(changes.length, 'change')}</b></p>
    ${
      changes.length > 0 &&
      html`<ul class="diff">${changes
        .slice(0, SHOWN)
        .map(
          ({ change, part, name, before, after }) =>
            html`<li key=${part + name}><b class="mark-${MARKS[change].tone}">${MARKS[change].mark}</b> ${part} <b>${shown(name)}</b>: ${before !== null && html`<span class=${after === null ? '' : 'quiet'}>${shown(before)}</span>`}${before !== null && after !== null && ' → '}${after !== null && shown(after)}</li>`,
        )}</ul>`
    }
    ${changes.length > SHOWN && html`<p class="quiet">and ${changes.length - SHOWN} more</p>`}
    ${warnings.map((warning) => html`<p key=${warning} class="quiet">Note: ${shown(warning)}.</p>`)}
  </div>`
}

/** Asked for once the typing rests. */
function usePlan(text: string): { plan?: TopologyPlan; problem?: Problem } {
  const [state, setState] = useState<{ of?: string; plan?: TopologyPlan; problem?: Problem }>({})
  useEffect(() => {
    const controller = new AbortController()
    const timer = setTimeout(() => {
      // Of nothing at all: as a file that declares nothing.
      const sent = text.trim() === '' ? '{}' : text
      postJson<TopologyPlan>('/api/v1/topology/plan', { text: sent }, controller.signal).then(
        (plan) => setState({ of: text, plan }),
        (problem: Problem) => {
          if (!controller.signal.aborted) setState({ of: text, problem })
        },
      )
    }, PLAN_MS)
    return () => {
      clearTimeout(timer)
      controller.abort()
    }
  }, [text])
  return state.of === text ? state : {}
}
