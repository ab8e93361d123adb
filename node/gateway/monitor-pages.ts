/** What those ask for who watch the node: answered whatever the load, and to whoever asks. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { GatewayMetrics } from './metrics.ts'
import type { RequestTarget } from './request-target.ts'
import { sendText } from './short-answer.ts'

/** False when the address is none of theirs; nothing was done then. */
export async function sendMonitorPage(
  request: IncomingMessage,
  response: ServerResponse,
  { segments, hasTrailingSlash }: RequestTarget,
  {
    notReady,
    metrics: { registry, text },
  }: {
    /** Undefined: ready. Otherwise why not, in words. */
    readonly notReady: () => string | undefined
    readonly metrics: Pick<GatewayMetrics, 'registry' | 'text'>
  },
): Promise<boolean> {
  const [only] = segments
  if (only === undefined || segments.length > 1 || hasTrailingSlash) return false
  const name = Buffer.from(only.name).toString('latin1')
  if (name === 'livez') sendText(request, response, 200, 'alive\n')
  else if (name === 'readyz') {
    const reason = notReady()
    sendText(request, response, reason === undefined ? 200 : 503, `${reason ?? 'ready'}\n`)
  } else if (name === 'metrics') sendText(request, response, 200, await text(), registry.contentType)
  else return false
  return true
}
