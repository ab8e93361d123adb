/** Asks for a token of this node, and changes it for a session: no script keeps it. */
import { useState } from 'preact/hooks'
import { type Problem, postJson } from './api.ts'
import { html } from './html.ts'
import { reconnect } from './live.ts'
import { Command } from './parts/command.ts'
import { Trouble } from './parts/load.ts'

export function SignIn() {
  const [problem, setProblem] = useState<Problem>()
  const [isBusy, setBusy] = useState(false)
  const signIn = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault()
    const form = event.target as HTMLFormElement
    setBusy(true)
    try {
      await postJson('/console/login', { token: String(new FormData(form).get('token') ?? '').trim() })
      form.reset()
      reconnect()
    } catch (error) {
      setProblem(error as Problem)
    } finally {
      setBusy(false)
    }
  }
  return html`<section class="card sign-in">
    <h1 tabindex="-1">Sign in</h1>
    <p class="quiet">This node answers those who show one of its tokens. Make one where the node runs:</p>
    <${Command} text="mirrormesh token create --name console --scope operate" />
    <form onSubmit=${signIn}>
      <label>Token <input type="password" name="token" required autocomplete="current-password" autofocus
        placeholder="mmt_…" spellcheck=${false} /></label>
      <button class="primary" disabled=${isBusy}>Sign in</button>
    </form>
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
  </section>`
}
