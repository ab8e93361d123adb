/**
 * Which gateways a mirror list names (`/mirrorlist?tree=T&version=S`: a line `BASE/T/@S+/` for each). It is what somebody says
 * whom we have no reason to believe: what comes of it is a few origins of sane form, to be asked as strangers.
 */
import { isIP } from 'node:net'
import { readWebUrl } from '../../src/base/web-url.ts'

export const MAX_MIRROR_LIST_BYTES = 64 * 1024
/** Strangers that are asked, whatever lists name. */
export const MAX_LEARNED = 8
const MAX_LINES = 64

/**
 * Where browsers do not go either, of the ports from 1024 up (https://fetch.spec.whatwg.org/#port-blocking): services that take a
 * request of HTTP for one of theirs. Below 1024 there are 80 and 443 alone.
 */
const BAD_PORTS: ReadonlySet<number> = new Set([
  ...[1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566],
  ...[6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080],
])

/** Origins in the order of the list, each once. What is not of the form, or not of this tree and sequence, is passed over. */
export function originsIn(
  text: string,
  {
    tree,
    sequence,
    isSecureOnly,
  }: { readonly tree: string; readonly sequence: number; readonly isSecureOnly: boolean },
): string[] {
  const origins = new Set<string>()
  for (const line of text.split('\n', MAX_LINES)) {
    const href = readWebUrl(line.trim())
    if (href === undefined) continue
    const { origin, protocol, pathname, port, hostname } = new URL(href)
    // A gateway behind a prefix has no /_mesh/ that we would know of.
    if (pathname !== `/${tree}/@${sequence}+/`) continue
    if (isSecureOnly && protocol !== 'https:') continue
    if (isSanePort(port) && isSaneHost(hostname)) origins.add(origin)
  }
  return [...origins]
}

function isSanePort(port: string): boolean {
  // The parser leaves out what the scheme says.
  if (port === '' || port === '80' || port === '443') return true
  return Number(port) >= 1024 && !BAD_PORTS.has(Number(port))
}

function isSaneHost(hostname: string): boolean {
  if (hostname.startsWith('[')) return isIP(hostname.slice(1, -1)) === 6
  return hostname.length <= 253 && /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/.test(hostname)
}
