/**
 * Where in the console one is: the part of the address after #. So each page has an address that can be sent to others,
 * and the node serves one file for all.
 */
import { createState } from './state.ts'

export interface Route {
  /** `trees` of #/trees/builds%2Fnightly; empty for the overview. */
  readonly page: string
  /** Decoded; empty when the page is not about one thing. */
  readonly name: string
  /** After a ?, as in #/events?kind=head. */
  readonly query: ReadonlyMap<string, string>
}

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2)
  const at = path.indexOf('/')
  const page = at < 0 ? path : path.slice(0, at)
  return {
    page,
    name: at < 0 ? '' : decode(path.slice(at + 1)),
    query: new Map(new URLSearchParams(query)),
  }
}

export function linkTo(page: string, name = '', query: Readonly<Record<string, string>> = {}): string {
  const path = `#/${page}${name === '' ? '' : `/${name.split('/').map(encodeURIComponent).join('/')}`}`
  const text = new URLSearchParams(query).toString()
  return text === '' ? path : `${path}?${text}`
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export const route = createState<Route>(parseRoute(location.hash))

addEventListener('hashchange', () => {
  route.set(parseRoute(location.hash))
})
