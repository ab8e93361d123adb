/** A command line that does the same as the page, to be copied. */
import { useState } from 'preact/hooks'
import { html } from '../html.ts'

export function Command({ text }: { text: string }) {
  const [isCopied, setCopied] = useState(false)
  const copy = (event: Event): void => {
    const code = (event.currentTarget as HTMLElement).previousElementSibling!
    // The clipboard is there on https and on this machine only; elsewhere the text is selected for the user's own keys.
    if (navigator.clipboard === undefined) {
      getSelection()?.selectAllChildren(code)
      return
    }
    navigator.clipboard.writeText(text).then(
      () => {
        setCopied(true)
        setTimeout(() => setCopied(false), 2000)
      },
      () => getSelection()?.selectAllChildren(code),
    )
  }
  return html`<div class="command">
    <code>${text}</code>
    <button type="button" class="quiet" onClick=${copy} aria-label=${isCopied ? 'Copied' : 'Copy the command line'}>${isCopied ? 'Copied' : 'Copy'}</button>
  </div>`
}
