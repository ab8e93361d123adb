/** The node's API, from the page: JSON documents, lines, and problems as errors that say what, why and what next. */

export class Problem extends Error {
  readonly status: number
  readonly code: string
  readonly hint: string | undefined

  constructor(status: number, code: string, message: string, hint?: string) {
    super(message)
    this.status = status
    this.code = code
    this.hint = hint
  }
}

const TIMEOUT_MS = 30_000

export function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return send<T>('GET', path, undefined, signal)
}

export function postJson<T>(path: string, body: unknown, signal?: AbortSignal, ifMatch?: string): Promise<T> {
  return send<T>('POST', path, body, signal, ifMatch)
}

/** With what it is to be sent along as If-Match: whoever changed it meanwhile is not overwritten. */
export async function getTagged<T>(
  path: string,
  signal?: AbortSignal,
): Promise<{ readonly value: T; readonly tag: string }> {
  const answer = await request('GET', path, undefined, signal)
  return { value: JSON.parse(await answer.text()) as T, tag: answer.headers.get('etag') ?? '' }
}

export function patchJson<T>(path: string, body: unknown, ifMatch?: string): Promise<T> {
  return send<T>('PATCH', path, body, undefined, ifMatch)
}

export async function deleteAt(path: string): Promise<void> {
  await send('DELETE', path, undefined, undefined)
}

async function send<T>(
  method: string,
  path: string,
  body: unknown,
  signal?: AbortSignal,
  ifMatch?: string,
): Promise<T> {
  const answer = await request(method, path, body, signal, ifMatch)
  const text = await answer.text()
  return (text === '' ? undefined : JSON.parse(text)) as T
}

async function request(
  method: string,
  path: string,
  body: unknown,
  signal: AbortSignal | undefined,
  ifMatch?: string,
): Promise<Response> {
  const ends = [AbortSignal.timeout(TIMEOUT_MS), ...(signal === undefined ? [] : [signal])]
  let answer: Response
  try {
    answer = await fetch(path, {
      method,
      signal: AbortSignal.any(ends),
      credentials: 'same-origin',
      ...(body === undefined
        ? {}
        : {
            body: JSON.stringify(body),
            headers: {
              'content-type': 'application/json',
              ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
            },
          }),
    })
  } catch (error) {
    if (signal?.aborted === true) throw error
    throw new Problem(
      0,
      'unreachable',
      'this node does not answer',
      'Is its daemon running? It is asked again by itself.',
    )
  }
  if (answer.ok) return answer
  throw problemOf(answer.status, await answer.text())
}

export function problemOf(status: number, text: string): Problem {
  try {
    const { code, detail, title, hint } = JSON.parse(text) as Record<string, unknown>
    return new Problem(
      status,
      String(code ?? 'internal'),
      String(detail ?? title ?? `the node answered ${status}`),
      typeof hint === 'string' ? hint : undefined,
    )
  } catch {
    return new Problem(status, 'internal', `the node answered ${status}`)
  }
}

/**
 * The lines of a listing: the header, then at most `limit` items. The rest is not asked for.
 * @throws Problem also when the node found one in the middle
 */
export async function getLines<H, T>(
  path: string,
  limit: number,
  signal?: AbortSignal,
): Promise<{ header: H; items: T[]; isWhole: boolean }> {
  const answer = await request('GET', path, undefined, signal)
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let header: H | undefined
  const items: T[] = []
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    const lines = (rest + (value ?? '')).split('\n')
    rest = done ? '' : (lines.pop() ?? '')
    for (const line of lines) {
      if (line === '') continue
      const item = JSON.parse(line) as { problem?: { status: number } }
      if (item.problem !== undefined) throw problemOf(item.problem.status, JSON.stringify(item.problem))
      if (header === undefined) header = item as H
      else if (items.length < limit) items.push(item as T)
      else {
        void reader.cancel()
        return { header, items, isWhole: false }
      }
    }
    if (done) return { header: header!, items, isWhole: true }
  }
}
