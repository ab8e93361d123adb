/** The versions of a tree of that kind, and the way to publish it without some of them. */
import { useEffect, useState } from 'preact/hooks'
import type { EntryLine, EntryListHeader, TreeDocument } from '../../api/answers.ts'
import type { DropVersionsAnswer } from '../../api/jobs/job-answers.ts'
import { Action, Dialog } from '../actions/dialog.ts'
import { getLines, type Problem } from '../api.ts'
import { html } from '../html.ts'
import { runJob } from '../parts/job.ts'
import { Trouble } from '../parts/load.ts'
import { quoted, shown } from '../text.ts'
import { treePath } from './address.ts'

const SHOWN = 200

export function Versions({ tree, isOwn }: { tree: TreeDocument; isOwn: boolean }) {
  const [state, setState] = useState<{ names?: readonly string[]; problem?: Problem }>({})
  const sequence = tree.head?.sequence
  useEffect(() => {
    if (sequence === undefined) return
    const controller = new AbortController()
    getLines<EntryListHeader, EntryLine>(
      treePath(tree.tree, 'entries', { ref: String(sequence) }),
      SHOWN,
      controller.signal,
    ).then(
      ({ items }) =>
        setState({ names: items.filter(({ type }) => type === 'directory').map(({ path }) => path) }),
      (problem: Problem) => {
        if (!controller.signal.aborted) setState({ problem })
      },
    )
    return () => controller.abort()
  }, [tree.tree, sequence])
  const { names, problem } = state
  return html`<section class="card" aria-labelledby="versions-title">
    <header class="card-head"><h2 id="versions-title">Versions</h2>
      ${isOwn && names !== undefined && names.length > 0 && html`<${Action} label="Drop some" dialog=${(onClose: () => void) => html`<${DropDialog} tree=${tree.tree} names=${names} onClose=${onClose} />`} />`}</header>
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    ${
      names === undefined || names.length === 0
        ? problem === undefined && html`<p class="quiet">None is published yet.</p>`
        : html`<p>${names.map((name) => html`<span key=${name} class="tag">${shown(name)}</span> `)}</p>`
    }
    <p class="quiet">A version that is published never changes. ${isOwn ? '' : 'Its publisher’s node drops those that are too old.'}</p>
  </section>`
}

function DropDialog({
  tree,
  names,
  onClose,
}: {
  tree: string
  names: readonly string[]
  onClose: () => void
}) {
  const [chosen, setChosen] = useState<readonly string[]>([])
  const run = async () => {
    const { sequence, dropped } = await runJob<DropVersionsAnswer>({
      ...{ kind: 'drop-versions', tree, versions: chosen },
    })
    return html`<p><b>${shown(tree)}@${sequence}</b> is the head now, without ${dropped.map(shown).join(', ')}.</p>`
  }
  const toggle = (name: string) => (event: Event) => {
    const isOn = (event.target as HTMLInputElement).checked
    setChosen((old) => (isOn ? [...old, name] : old.filter((each) => each !== name)))
  }
  return html`<${Dialog} title=${`Drop versions of ${tree}`} confirm="Drop them" isHarmful run=${run} onClose=${onClose} isReady=${chosen.length > 0}
    command=${`mirrormesh tree drop ${quoted(tree)} ${chosen.length === 0 ? 'VERSION' : chosen.map(quoted).join(' ')}`}>
    <p>A new head is published without them, and every site follows. Older snapshots have them until they are collected.</p>
    <fieldset class="picks many"><legend>To be dropped</legend>${names.map(
      (name) =>
        html`<label key=${name} class="check"><input type="checkbox" checked=${chosen.includes(name)} onChange=${toggle(name)} /> ${shown(name)}</label>`,
    )}</fieldset>
  </${Dialog}>`
}
