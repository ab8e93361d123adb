/** Holding a fetch of this node back, and letting it go on; of another site: how it is done there. */
import { Action, Dialog } from '../actions/dialog.ts'
import { postJson } from '../api.ts'
import { html } from '../html.ts'
import { session } from '../live.ts'
import { useValue } from '../state.ts'
import { quoted, shown } from '../text.ts'

export interface PauseProps {
  readonly tree: string
  readonly site: string
  readonly isHere: boolean
  readonly isPaused: boolean
}

/** Nothing of it is fetched at this node from now on; or it goes on. */
async function steer(tree: string, verb: 'pause' | 'resume'): Promise<undefined> {
  await postJson(`/api/v1/fetches/${encodeURIComponent(tree)}/${verb}`, {})
}

export function PauseButton(props: PauseProps) {
  const scope = useValue(session)?.scope
  // Whoever may only look is not offered what would be refused.
  if (scope === 'read') return null
  return html`<${Action} label=${props.isPaused ? 'Resume' : 'Pause'}
    dialog=${(onClose: () => void) => html`<${PauseDialog} ...${props} onClose=${onClose} />`} />`
}

function PauseDialog({ tree, site, isHere, isPaused, onClose }: PauseProps & { onClose: () => void }) {
  const verb = isPaused ? 'resume' : 'pause'
  const title = `${isPaused ? 'Resume' : 'Pause'} ${tree} at ${site}`
  const line = `mirrormesh fetch ${verb} ${quoted(tree)}`
  if (!isHere) {
    const command = `${line} --api https://${site} --token-file token`
    return html`<${Dialog} title=${title} confirm="I see" command=${command} run=${async () => undefined} onClose=${onClose}>
      <p>A site's fetches are paused at that site: in its own console, or with a token of it. From here all of its trees can be held
        back together, by draining ${shown(site)}; that is a signed record.</p>
    </${Dialog}>`
  }
  const confirm = isPaused ? 'Let it go on' : 'Pause it'
  return html`<${Dialog} title=${title} confirm=${confirm} command=${line} run=${() => steer(tree, verb)} onClose=${onClose}>
    ${
      isPaused
        ? html`<p>It goes on from what it has already.</p>`
        : html`<p>What ${shown(site)} has of it stays, is served to others and checked out. No newer snapshot is fetched until it is resumed;
          a restart changes nothing of that. Other sites see it, and do not wait for this one.</p>`
    }
  </${Dialog}>`
}
