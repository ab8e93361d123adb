/** Settings: the limits of this node, how it is set, and this session. */
import { html } from '../html.ts'
import { session } from '../live.ts'
import type { PageProps } from '../page-props.ts'
import { useValue } from '../state.ts'
import { atTime, shown } from '../text.ts'
import { Config } from './config.ts'
import { Limits } from './limits.ts'
import { deleteSession } from './sign-out.ts'

export function Settings({ status }: PageProps) {
  const found = useValue(session)
  return html`
    <div class="page-head"><div><h1 tabindex="-1">Settings</h1>
      <p class="quiet">Of ${shown(status.self.site)}, and of this session</p></div></div>
    <${Limits} site=${status.self.site} />
    <${Config} />
    <section class="card" aria-labelledby="session-title">
      <header class="card-head"><h2 id="session-title">This session</h2>
        <button type="button" onClick=${deleteSession}>Sign out</button></header>
      <p class="quiet">${
        found === undefined
          ? ''
          : html`Signed in with ${found.token === null ? 'no token' : html`the token <b>${shown(found.token.name)}</b>`}, scope <b>${found.scope}</b>${found.expiresMs !== null && html`, until ${atTime(found.expiresMs)}`}. Scopes: read sees, operate steers within what is signed, admin does all else.`
      }</p>
    </section>`
}
