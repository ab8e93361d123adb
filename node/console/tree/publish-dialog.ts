/** The next snapshot of a tree, from a folder on the machine of its publisher's node: looked at first, then published. */
import { useState } from 'preact/hooks'
import { isSegment } from '../../../src/base/names.ts'
import type { TreeDocument } from '../../api/answers.ts'
import type { DryRunAnswer, PublishAnswer } from '../../api/jobs/job-answers.ts'
import { countOf, formatBytes } from '../../cli/quantity.ts'
import { Dialog } from '../actions/dialog.ts'
import type { Problem } from '../api.ts'
import { type Children, html } from '../html.ts'
import { runJob } from '../parts/job.ts'
import { Trouble } from '../parts/load.ts'
import { quoted, shown } from '../text.ts'

export function PublishDialog({
  tree,
  site,
  onClose,
}: {
  tree: TreeDocument
  /** Whose node publishes: this one. */
  site: string
  onClose: () => void
}) {
  const [path, setPath] = useState('')
  const [version, setVersion] = useState('')
  const [rules, setRules] = useState('')
  const [isInPlace, setInPlace] = useState(false)
  const [isShrinking, setShrinking] = useState(false)
  const [seen, setSeen] = useState<{ of?: string; answer?: DryRunAnswer; problem?: Problem; isBusy?: true }>(
    {},
  )
  const isVersioned = tree.kind === 'versioned'
  const ignore = rules.split('\n').filter((line) => line.trim() !== '')
  const body = {
    ...{ kind: 'publish', tree: tree.tree, path, inPlace: isInPlace, acceptShrink: isShrinking },
    ...(isVersioned ? { version } : {}),
    ...(ignore.length === 0 ? {} : { ignore }),
  }
  const key = JSON.stringify(body)
  const isReady = path.startsWith('/') && (!isVersioned || isSegment(version))
  const look = async (): Promise<void> => {
    setSeen({ of: key, isBusy: true })
    try {
      setSeen({ of: key, answer: await runJob<DryRunAnswer>({ ...body, dryRun: true }) })
    } catch (problem) {
      setSeen({ of: key, problem: problem as Problem })
    }
  }
  const run = async (): Promise<Children> => {
    const { sequence, isNew, files, bytes, newBytes, uncaptured } = await runJob<PublishAnswer>(body)
    return html`<p><b>${shown(tree.tree)}@${sequence}</b> ${isNew ? 'is the head now' : 'is the head, and has just that already'}: ${countOf(files, 'file')}, ${formatBytes(bytes)}, ${formatBytes(newBytes)} of it new.</p>
      ${
        uncaptured.count > 0 &&
        html`<p class="notice warn">${countOf(uncaptured.count, 'entry').replace('entrys', 'entries')} could not be read: ${uncaptured.first
          .slice(0, 3)
          .map((each) => shown(each.path))
          .join(', ')}.</p>`
      }`
  }
  const command = [
    `mirrormesh publish ${quoted(path || 'FOLDER')} --tree ${quoted(tree.tree)}`,
    ...(isVersioned ? [`--as ${quoted(version || 'VERSION')}`] : []),
    ...ignore.map((each) => `--exclude ${quoted(each)}`),
    ...(isInPlace ? ['--in-place'] : []),
    ...(isShrinking ? ['--accept-shrink'] : []),
  ].join(' ')
  const text = (set: (value: string) => void) => (event: InputEvent) =>
    set((event.target as HTMLInputElement).value)
  const flag = (set: (value: boolean) => void) => (event: Event) =>
    set((event.target as HTMLInputElement).checked)
  const found = seen.of === key ? seen : {}
  return html`<${Dialog} title=${`Publish ${tree.tree}`} confirm="Publish it" run=${run} onClose=${onClose} isReady=${isReady} command=${command}>
    <div class="fields">
      <label class="wide">Folder on the machine of ${shown(site)} <input type="text" value=${path} onInput=${text(setPath)} autofocus placeholder="/srv/builds/nightly" spellcheck=${false} autocomplete="off" /></label>
      ${isVersioned && html`<label class="wide">Name of the version <input type="text" value=${version} onInput=${text(setVersion)} placeholder="1.4.2" spellcheck=${false} autocomplete="off" /></label>`}
      <label class="wide">Leave out what matches, a pattern a line <textarea rows="2" value=${rules} onInput=${text(setRules)} placeholder="as the newest snapshot has it" spellcheck=${false}></textarea></label>
      <label class="check wide"><input type="checkbox" checked=${isInPlace} onChange=${flag(setInPlace)} /> Do not copy it into the store: its files stay as they are, and nobody changes them</label>
      <label class="check wide"><input type="checkbox" checked=${isShrinking} onChange=${flag(setShrinking)} /> Publish it although much may be gone from it</label>
    </div>
    <div class="look"><button type="button" disabled=${!isReady || found.isBusy === true} onClick=${look}>${found.isBusy === true ? 'Looking …' : 'Look what it would be'}</button></div>
    ${found.problem !== undefined && html`<${Trouble} problem=${found.problem} />`}
    ${found.answer !== undefined && html`<p class="plan" role="status"><span><b>@${found.answer.sequence}</b>${found.answer.isNew ? '' : ', which is the head already'}: ${countOf(found.answer.files, 'file')}, ${formatBytes(found.answer.bytes)}; ${formatBytes(found.answer.newBytes)} of it new.</span></p>`}
    <p class="quiet">${shown(site)} reads the folder and signs; it takes a token of the scope admin. It goes on when this is closed.</p>
  </${Dialog}>`
}
