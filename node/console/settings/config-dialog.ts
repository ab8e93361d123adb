/** Changing one setting in the config file, for the next start. */
import { useState } from 'preact/hooks'
import type { ConfigDocument, ShownSetting } from '../../config-editor.ts'
import { Dialog } from '../actions/dialog.ts'
import { getTagged, patchJson } from '../api.ts'
import { html } from '../html.ts'
import { quoted, shown } from '../text.ts'

const CONFIG = '/api/v1/config'

export function ConfigDialog({ setting, onClose }: { setting: ShownSetting; onClose: () => void }) {
  const { key, value, meaning } = setting
  const before = textOf('next' in setting ? setting.next : value)
  const [text, setText] = useState(before)
  const isTaken = text.trim() === ''
  const run = async (): Promise<undefined> => {
    const { value: now, tag } = await getTagged<ConfigDocument>(CONFIG)
    const found = now.settings.find((each) => each.key === key)
    if (found !== undefined && textOf('next' in found ? found.next : found.value) !== before)
      throw new Error('Somebody else has changed it meanwhile: open this anew.')
    await patchJson(CONFIG, { settings: { [key]: isTaken ? null : parsedValue(text.trim()) } }, tag)
  }
  return html`<${Dialog} title=${key} confirm="Change it" run=${run} onClose=${onClose} isReady=${text !== before}
    command=${isTaken ? `mirrormesh config unset ${key}` : `mirrormesh config set ${key} ${quoted(text.trim())}`}>
    <p>${shown(meaning)}.</p>
    <div class="fields"><label>Value <input type="text" value=${text} spellcheck=${false} autofocus
      onInput=${(event: InputEvent) => setText((event.target as HTMLInputElement).value)} /></label></div>
    <p class="quiet">It counts from the next start of the daemon. Empty: its default.</p>
  </${Dialog}>`
}

function textOf(value: unknown): string {
  return value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value)
}

/** Numbers, true and false, lists: as JSON has them; anything else is text. */
function parsedValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
