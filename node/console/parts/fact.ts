/** One figure with its name, a line below it, and what it means on demand. */
import { type Children, html } from '../html.ts'

export function Fact({
  name,
  value,
  below,
  meaning,
  tone = '',
}: {
  name: string
  value: Children
  below?: Children
  meaning?: string
  tone?: string
}) {
  return html`<div class="fact ${tone}">
    <dt>${name}${meaning !== undefined && html`<${Meaning} text=${meaning} />`}</dt>
    <dd><strong>${value}</strong>${below !== undefined && html`<small>${below}</small>`}</dd>
  </div>`
}

/** A sign that explains what it stands beside: on hover, on focus, and to a screen reader. */
export function Meaning({ text }: { text: string }) {
  return html`<button type="button" class="meaning" aria-label=${`What this means: ${text}`}
    ><span aria-hidden="true">i</span><span class="tip" aria-hidden="true">${text}</span></button>`
}
