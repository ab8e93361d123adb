/** Every setting of this run of the node, and where it comes from. They are read at its start. */
import { useState } from 'preact/hooks'
import type { ConfigDocument, ShownSetting } from '../../config-editor.ts'
import { Action } from '../actions/dialog.ts'
import { html } from '../html.ts'
import { session } from '../live.ts'
import { Command } from '../parts/command.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { useValue } from '../state.ts'
import { shown } from '../text.ts'
import { ConfigDialog } from './config-dialog.ts'

export function Config() {
  const scope = useValue(session)?.scope
  const [isAll, setAll] = useState(false)
  const maySee = scope !== undefined && scope !== 'read'
  const { value, problem, reload } = useDocument<ConfigDocument>(maySee ? '/api/v1/config' : undefined)
  const settings = value?.settings ?? []
  const rows = settings.filter(({ from, next }) => isAll || from !== 'default' || next !== undefined)
  return html`<section class="card" aria-labelledby="config-title">
    <header class="card-head"><h2 id="config-title">Settings of this run</h2>
      ${settings.length > 0 && html`<label class="check"><input type="checkbox" checked=${isAll} onChange=${() => setAll(!isAll)} /> defaults too</label>`}</header>
    <p class="quiet">What is in config.yaml and in the environment counts from the next start of the daemon. Limits and their schedule change at once.</p>
    ${!maySee && html`<p class="nothing">They are shown to tokens of the scope operate.</p>`}
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    ${value?.fault !== undefined && html`<p class="notice bad" role="alert">The config file cannot be read as it is now: ${shown(value.fault)}</p>`}
    ${value !== undefined && rows.length === 0 && html`<p class="nothing">Nothing is set: all defaults.</p>`}
    ${
      rows.length > 0 &&
      html`<div class="scroll-x" tabindex="0" role="region" aria-labelledby="config-title"><table>
        <thead><tr><th>Setting</th><th>Value</th><th>From</th><th>Meaning</th><th></th></tr></thead>
        <tbody>${rows.map((each) => html`<${Line} key=${each.key} setting=${each} mayChange=${scope === 'admin'} reload=${reload} />`)}</tbody></table></div>`
    }
    <${Command} text="mirrormesh config show" />
  </section>`
}

function Line({
  setting,
  mayChange,
  reload,
}: {
  setting: ShownSetting
  mayChange: boolean
  reload: () => void
}) {
  const { key, value, from, meaning, isEditable } = setting
  const done = (onClose: () => void) => () => {
    onClose()
    reload()
  }
  return html`<tr>
    <td><code>${key}</code></td>
    <td><code class="long">${shown(JSON.stringify(value))}</code>${'next' in setting && html` <span class="tag info">${shown(JSON.stringify(setting.next))} from the next start</span>`}</td>
    <td class="quiet">${from}</td>
    <td class="quiet">${shown(meaning)}</td>
    <td class="buttons">${mayChange && isEditable && html`<${Action} label="Change" tone="quiet" dialog=${(onClose: () => void) => html`<${ConfigDialog} setting=${setting} onClose=${done(onClose)} />`} />`}</td>
  </tr>`
}
