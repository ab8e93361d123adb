/**
 * Server-sent events read by hand: so a refusal has its status, a stream that has died quietly is noticed (the node
 * sends a comment every 15 seconds), and one that broke off goes on where it was.
 */
import { Problem, problemOf } from './api.ts'

export interface StreamEvent {
  readonly kind: string
  readonly data: unknown
}

const SILENCE_MS = 40_000

/**
 * Calls `onEvent` for each, until the stream ends or fails; then it throws.
 * @param lastId kept up to date, so that the next stream goes on from there
 */
export async function followEvents(
  path: string,
  {
    lastId,
    signal,
    onOpen,
    onEvent,
  }: {
    readonly lastId: { value: string }
    readonly signal: AbortSignal
    readonly onOpen: () => void
    readonly onEvent: (event: StreamEvent) => void
  },
): Promise<never> {
  const silence = new AbortController()
  let timer: number | undefined
  const heard = (): void => {
    clearTimeout(timer)
    timer = window.setTimeout(() => silence.abort(), SILENCE_MS)
  }
  heard()
  try {
    const after = lastId.value === '' ? '' : `?after=${encodeURIComponent(lastId.value)}`
    const answer = await fetch(`${path}${after}`, {
      signal: AbortSignal.any([signal, silence.signal]),
      credentials: 'same-origin',
      headers: { accept: 'text/event-stream' },
    })
    if (!answer.ok) throw problemOf(answer.status, await answer.text())
    onOpen()
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
    const take = createParser(lastId, onEvent)
    for (;;) {
      const { done, value } = await reader.read()
      if (done) throw new Problem(0, 'unreachable', 'the stream of events ended')
      heard()
      take(value)
    }
  } catch (error) {
    if (error instanceof Problem) throw error
    throw new Problem(0, 'unreachable', 'this node does not answer')
  } finally {
    clearTimeout(timer)
  }
}

function createParser(
  lastId: { value: string },
  onEvent: (event: StreamEvent) => void,
): (text: string) => void {
  let rest = ''
  let kind = 'message'
  let data: string[] = []
  const line = (text: string): void => {
    if (text === '') {
      if (data.length > 0) onEvent({ kind, data: JSON.parse(data.join('\n')) })
      kind = 'message'
      data = []
    } else if (text.startsWith('event: ')) kind = text.slice(7)
    else if (text.startsWith('data: ')) data.push(text.slice(6))
    else if (text.startsWith('id: ')) lastId.value = text.slice(4)
  }
  return (text) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const each of lines) line(each)
  }
}
