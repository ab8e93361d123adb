/**
 * A takedown: the node says which snapshots it would be of and where sites stand then; an admin signs just that. Lifting
 * one is the same the other way.
 */
import { useEffect, useState } from 'preact/hooks'
import { isFilterPath } from '../../../src/base/path-filter.ts'
import type { TakedownStatus } from '../../../src/replica/status/status.ts'
import type { TakedownPlan } from '../../api/routes/takedown-routes.ts'
import { Dialog } from '../actions/dialog.ts'
import { sign } from '../actions/keys.ts'
import { getJson, type Problem } from '../api.ts'
import { html } from '../html.ts'
import { Trouble } from '../parts/load.ts'
import { quoted, shown } from '../text.ts'
import { treePath } from './address.ts'
import { takedownBody } from './tree-body.ts'

const ASK_MS = 300
const NAMED = 12

export interface TakedownDialogProps {
  readonly tree: string
  /** One snapshot. */
  readonly sequence?: number
  /** All that have a path, which the user may change. */
  readonly path?: string
  readonly lifts?: TakedownStatus
  readonly onClose: () => void
}

export function TakedownDialog({ tree, sequence, path: given, lifts, onClose }: TakedownDialogProps) {
  const of = sequence ?? (lifts?.path === null ? lifts.sequences[0] : undefined)
  const [path, setPath] = useState(lifts?.path ?? given ?? '')
  const [reason, setReason] = useState(lifts?.reason ?? '')
  const trimmed = path.replace(/^\/+|\/+$/g, '')
  const query: Record<string, string> | undefined =
    of !== undefined ? { ref: String(of) } : isFilterPath(trimmed) ? { path: trimmed } : undefined
  const { plan, problem } = usePlan(query === undefined ? undefined : treePath(tree, 'takedown', query))
  const isLift = lifts !== undefined
  const run = async (): Promise<undefined> => {
    await sign('takedown', takedownBody(plan!, reason.trim(), isLift))
    return undefined
  }
  const text = (set: (value: string) => void) => (event: InputEvent) =>
    set((event.target as HTMLInputElement).value)
  const command = [
    `mirrormesh tree takedown ${quoted(of === undefined ? tree : `${tree}@${of}`)}`,
    ...(of === undefined ? [`--path ${quoted(trimmed || 'PATH')}`] : []),
    `--reason ${quoted(reason.trim() || 'WHY')}`,
    ...(isLift ? ['--lift'] : []),
  ].join(' ')
  return html`<${Dialog} title=${isLift ? `Lift the takedown of ${lifts.name}` : of === undefined ? `Take down what has a path` : `Take ${tree}@${of} down`}
    confirm=${isLift ? 'Lift it' : 'Take it down'} isHarmful=${!isLift} signs=${{}} run=${run} onClose=${onClose} command=${command}
    isReady=${plan !== undefined && reason.trim() !== ''}>
    ${
      of === undefined &&
      !isLift &&
      html`<div class="fields"><label>Path in ${shown(tree)} <input type="text" value=${path} onInput=${text(setPath)} autofocus=${path === ''} placeholder="etc/secret.key" spellcheck=${false} autocomplete="off" /></label></div>`
    }
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    ${
      plan === undefined
        ? problem === undefined &&
          query !== undefined &&
          html`<p class="quiet" role="status">Asking this node …</p>`
        : html`<div class="plan" role="status"><${What} plan=${plan} isLift=${isLift} /></div>`
    }
    <div class="fields"><label>Why; everybody sees it <input type="text" maxlength="256" value=${reason} onInput=${text(setReason)} autofocus=${of !== undefined} placeholder="holds a private key" /></label></div>
  </${Dialog}>`
}

function What({ plan: { sequences, standing }, isLift }: { plan: TakedownPlan; isLift: boolean }) {
  const those = html`<b>${sequences.slice(0, NAMED).map((each, i) => `${i > 0 ? ', ' : ''}@${each}`)}</b>${sequences.length > NAMED && ` and ${sequences.length - NAMED} more`}`
  if (isLift) return html`<p>${those} may be fetched again from where it still is.</p>`
  return html`<p>${those} ${sequences.length === 1 ? 'goes' : 'go'} from every site, check-outs of pins included. ${
    standing === null
      ? 'Nothing is left of the tree then, until its publisher publishes again.'
      : html`Sites go back to <b>@${standing}</b> until something newer is published.`
  }</p>
    <p class="quiet">Copies that people made are not touched, and nothing takes bytes back from a site that is not ours any more.</p>`
}

/** Asked for once the typing rests. */
function usePlan(address: string | undefined): { plan?: TakedownPlan; problem?: Problem } {
  const [state, setState] = useState<{ of?: string; plan?: TakedownPlan; problem?: Problem }>({})
  useEffect(() => {
    if (address === undefined) return
    const controller = new AbortController()
    const timer = setTimeout(() => {
      getJson<TakedownPlan>(address, controller.signal).then(
        (plan) => setState({ of: address, plan }),
        (problem: Problem) => {
          if (!controller.signal.aborted) setState({ of: address, problem })
        },
      )
    }, ASK_MS)
    return () => {
      clearTimeout(timer)
      controller.abort()
    }
  }, [address])
  return state.of === address ? state : {}
}
