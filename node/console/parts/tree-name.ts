/** The name of a tree in little room: the last part stays. */
import { html } from '../html.ts'
import { shown } from '../text.ts'

export function TreeName({ name }: { name: string }) {
  const at = name.lastIndexOf('/') + 1
  return html`<span class="tree-name"
    ><span class="dir">${shown(name.slice(0, at))}</span><span class="leaf">${shown(name.slice(at))}</span></span>`
}
