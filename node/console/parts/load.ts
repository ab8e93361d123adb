/** A document of the API for as long as a page is open: asked for at once, and again while `everyMs` says so. */
import { useEffect, useState } from 'preact/hooks'
import { getJson, type Problem } from '../api.ts'
import { html } from '../html.ts'
import { sentence, shown } from '../text.ts'

export interface Loaded<T> {
  readonly value: T | undefined
  readonly problem: Problem | undefined
  readonly reload: () => void
}

/**
 * With `path` undefined nothing is asked for; another `revision` asks again. An answer that comes late for a page that is
 * gone is dropped.
 */
export function useDocument<T>(path: string | undefined, everyMs = 0, revision = ''): Loaded<T> {
  const [turn, setTurn] = useState(0)
  const [state, setState] = useState<{ path: string | undefined; value?: T; problem?: Problem }>({ path })
  useEffect(() => {
    if (path === undefined) return
    const controller = new AbortController()
    let timer: number | undefined
    const ask = (): void => {
      getJson<T>(path, controller.signal).then(
        (value) => {
          setState({ path, value })
          again()
        },
        (problem: Problem) => {
          if (controller.signal.aborted) return
          setState((old) => ({
            path,
            problem,
            ...(old.path === path && old.value !== undefined ? { value: old.value } : {}),
          }))
          again()
        },
      )
    }
    const again = (): void => {
      if (everyMs > 0 && !controller.signal.aborted)
        timer = window.setTimeout(ask, document.hidden ? 30_000 : everyMs)
    }
    ask()
    return () => {
      controller.abort()
      clearTimeout(timer)
    }
  }, [path, everyMs, turn, revision])
  const isOfPath = state.path === path
  return {
    value: isOfPath ? state.value : undefined,
    problem: isOfPath ? state.problem : undefined,
    reload: () => setTurn((old) => old + 1),
  }
}

export function Trouble({ problem }: { problem: Problem }) {
  return html`<div class="notice bad" role="alert">
    <b>${sentence(shown(problem.message))}</b>${problem.hint !== undefined && html` <span>${shown(problem.hint)}</span>`}
  </div>`
}
