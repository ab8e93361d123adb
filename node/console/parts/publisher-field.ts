/** The key that shall publish: of a site's node, or any other by its PeerId. */
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import { html } from '../html.ts'
import { publicKeyOf } from '../signing/encode.ts'
import { shown } from '../text.ts'

const OTHER = 'other'

export interface KeyChoice {
  /** Of a member's node; empty for the key that is typed. */
  readonly peer: string
  readonly typed: string
}

export function keyOf({ peer, typed }: KeyChoice): string | undefined {
  const found = peer === '' ? typed.trim() : peer
  try {
    publicKeyOf(found)
    return found
  } catch {
    return undefined
  }
}

/** As the command line takes it: the site, or the PeerId. */
export function keyName(choice: KeyChoice, status: StatusDocument): string {
  const key = keyOf(choice)
  return status.sites.find(({ peer }) => peer === key)?.site ?? key ?? 'SITE'
}

export function PublisherField({
  label,
  choice,
  status,
  without,
  onChange,
}: {
  label: string
  choice: KeyChoice
  status: StatusDocument
  /** A key that it is not: the one that publishes already. */
  without?: string | undefined
  onChange: (choice: KeyChoice) => void
}) {
  const isTyped = choice.peer === ''
  const choose = (event: Event): void => {
    const { value } = event.target as HTMLSelectElement
    onChange({ ...choice, peer: value === OTHER ? '' : value })
  }
  const sites = status.sites
    .filter(({ peer }) => peer !== without)
    .toSorted((a, b) => (a.site < b.site ? -1 : 1))
  return html`<label>${label} <select onChange=${choose}>
      ${sites.map(
        ({ site, peer, state }) =>
          html`<option key=${peer} value=${peer} selected=${peer === choice.peer}>${shown(site)}${state === 'self' ? ', this node' : state === 'silent' ? ', silent' : ''}</option>`,
      )}
      <option value=${OTHER} selected=${isTyped}>Another key, by its PeerId</option>
    </select></label>
    ${
      isTyped &&
      html`<label>PeerId of the key <input type="text" value=${choice.typed} placeholder="12D3KooW…" spellcheck=${false} autocomplete="off"
        onInput=${(event: InputEvent) => onChange({ ...choice, typed: (event.target as HTMLInputElement).value })} /></label>`
    }`
}
