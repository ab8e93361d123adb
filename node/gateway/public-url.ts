/** Where clients of other sites reach this gateway: what the setting says, else what it listens on if that is an address. */
import { readWebUrl } from '../../src/base/web-url.ts'
import type { Config } from '../config.ts'

/** Undefined when there is no gateway, or nobody has said what it is called. */
export function publicUrlOf({
  http,
  httpUrl,
  httpCertificate,
}: Pick<Config, 'http' | 'httpUrl' | 'httpCertificate'>): string | undefined {
  if (http === 'off') return undefined
  if (httpUrl !== undefined) return readWebUrl(httpUrl)
  const host = http.slice(0, http.lastIndexOf(':'))
  // Listening on everything or on loopback says nothing about what others can reach, and port 0 is another each time.
  if (/^(|0\.0\.0\.0|\[::\]|\[::1\]|localhost|127\..*)$/.test(host) || http.endsWith(':0')) return undefined
  return readWebUrl(`${httpCertificate === undefined ? 'http' : 'https'}://${http}/`)
}
