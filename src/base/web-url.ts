/**
 * The address of a gateway as clients know it, in the one form in which it is passed on: http or https, plain ASCII, a
 * slash at the end, nothing behind it. It goes into lists, XML and headers, and comes from other members.
 */
export const MAX_WEB_URL_CHARACTERS = 256

/** Undefined for what is no such address. */
export function readWebUrl(text: string): string | undefined {
  if (text.length > MAX_WEB_URL_CHARACTERS) return undefined
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '') return undefined
  // An empty query is no query to the parser, and stays in the text.
  if (url.username !== '' || url.password !== '' || /[?#]/.test(url.href)) return undefined
  const href = url.href.endsWith('/') ? url.href : `${url.href}/`
  // Below that there are redirects to such addresses: one there would lead round in a circle.
  if (/^\/+nearest\//.test(new URL(href).pathname)) return undefined
  return /^[!#-;=?-~]+$/.test(href) && href.length <= MAX_WEB_URL_CHARACTERS ? href : undefined
}
