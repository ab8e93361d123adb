/**
 * A directory as HTML or JSON, made piece by piece so that a folder of a million entries costs no memory. Names are
 * somebody else's bytes: in HTML they are escaped and printable, in an address percent-encoded.
 *
 * JSON: { tree, sequence, snapshot, behind, path, entries: [{ name, type, href, mode, modified, sizeBytes?, cid?, target?,
 * device?, nameBytes? }] }. `name` is printable text; `nameBytes` (base64) is there when that text is not exactly the name.
 */

import { printableName } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { isDevice, isSpecial } from '../../src/dag/entry.ts'
import { type FolderOrder, NAME_ORDER, SORT_KEYS, type SortKey } from './folder-order.ts'
import type { ListingRow } from './listing-row.ts'
import { encodeName } from './request-target.ts'

export interface ListingHead {
  /** Absent above the trees. */
  readonly tree?: string
  readonly sequence?: number
  readonly snapshot?: string
  /** How many heads are newer. */
  readonly behind?: number
  /** Printable, from the gateway's root, with a slash at both ends. */
  readonly path: string
}

export type ListingFormat = 'html' | 'json'

/** By the query (`?format=json`), else by the Accept header; HTML unless JSON is asked for by name. */
export function chooseFormat(query: URLSearchParams, accept: string | undefined): ListingFormat {
  const asked = query.get('format')
  if (asked === 'json' || asked === 'html') return asked
  if (asked !== null) {
    throw new MirrorError('invalid', `a folder is not there as ${JSON.stringify(asked.slice(0, 32))}`, {
      hint: 'Formats of a folder of a tree are html, json, tar and car.',
    })
  }
  const types = (accept ?? '').toLowerCase()
  const json = types.indexOf('application/json')
  const html = types.indexOf('text/html')
  return json >= 0 && (html < 0 || json < html) ? 'json' : 'html'
}

export interface HtmlOptions {
  /** The order asked for. */
  readonly order: FolderOrder
  /** False when the folder is too large for it: it then stays in the order of names, and says so. */
  readonly isSorted: boolean
}

export async function* listingHtml(
  head: ListingHead,
  rows: AsyncIterable<ListingRow> | Iterable<ListingRow>,
  { order, isSorted }: HtmlOptions = { order: NAME_ORDER, isSorted: true },
): AsyncGenerator<string> {
  const title = escapeHtml(head.path)
  yield `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${title}</title>
<style>${STYLE}</style></head>
<body><h1>${title}</h1>
${head.tree === undefined ? '' : versionHtml(head)}${isSorted ? '' : '<p>This folder is too large to be sorted: it is in the order of names.</p>\n'}<table><thead><tr>${headings(order)}</tr></thead><tbody>
`
  if (head.path !== '/') yield '<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n'
  for await (const row of rows) yield htmlRow(row)
  yield '</tbody></table></body></html>\n'
}

/** On a phone the name has a line of its own, and size and time share the next. */
const STYLE = `body{font:1rem/1.5 system-ui,sans-serif;margin:1rem auto;max-width:60rem;padding:0 1rem}
h1{font-size:1.3rem;overflow-wrap:anywhere}code{overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}
td,th{padding:.15rem .5rem;text-align:left;overflow-wrap:anywhere}td+td,th+th{text-align:right;white-space:nowrap}
tr{border-bottom:1px solid #8884}@media(max-width:40rem){thead tr,tbody tr{display:flex;flex-wrap:wrap;justify-content:space-between;padding:.3rem 0}
td:first-child{flex-basis:100%}td,th{padding:.1rem .25rem}}
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}a:visited{color:#c9f}}`

function versionHtml({ tree, sequence, snapshot, behind }: ListingHead): string {
  const late = behind === undefined || behind === 0 ? '' : `, ${behind} behind the newest`
  return `<p>${escapeHtml(tree ?? '')}, sequence ${sequence}${late}, snapshot <code>${escapeHtml(snapshot ?? '')}</code></p>
<p>This folder as <a rel="nofollow" href="?format=json">JSON</a>, <a rel="nofollow" href="?format=tar">tar</a>, <a rel="nofollow" href="?format=car">CAR</a></p>
`
}

const LABELS: Readonly<Record<SortKey, string>> = { name: 'Name', size: 'Bytes', time: 'Modified (UTC)' }

/** Each heading sorts by its column, and the other way round when it is sorted by it already. */
function headings({ key, isDescending }: FolderOrder): string {
  return SORT_KEYS.map((column) => {
    const isCurrent = column === key
    const isNextDescending = isCurrent ? !isDescending : column !== 'name'
    const sorted = isCurrent ? ` aria-sort="${isDescending ? 'descending' : 'ascending'}"` : ''
    const arrow = isCurrent ? (isDescending ? ' &darr;' : ' &uarr;') : ''
    const href = `?sort=${column}&amp;order=${isNextDescending ? 'desc' : 'asc'}`
    return `<th scope="col"${sorted}><a rel="nofollow" href="${href}">${LABELS[column]}</a>${arrow}</th>`
  }).join('')
}

export async function* listingJson(
  head: ListingHead,
  rows: AsyncIterable<ListingRow> | Iterable<ListingRow>,
): AsyncGenerator<string> {
  yield `${JSON.stringify(head).slice(0, -1)},"entries":[`
  let separator = '\n'
  for await (const row of rows) {
    yield separator + JSON.stringify(jsonRow(row))
    separator = ',\n'
  }
  yield '\n]}\n'
}

function htmlRow(row: ListingRow): string {
  const isFolder = row.type === 'directory' || row.type === 'folder'
  const label = escapeHtml(printableName(row.name)) + (isFolder ? '/' : '')
  const arrow = row.type === 'symlink' ? ` &rarr; ${escapeHtml(printableName(row.target))}` : ''
  const size = row.type === 'file' ? String(row.sizeBytes) : ''
  const modified = row.type === 'folder' ? '' : isoTime(row.mtimeSec, 0).slice(0, 19).replace('T', ' ')
  const isServed = row.type === 'folder' || !isSpecial(row)
  const name = isServed ? `<a href="${hrefOf(row)}">${label}</a>` : `${label} (${row.type})`
  return `<tr><td>${name}${arrow}</td><td>${size}</td><td>${modified}</td></tr>\n`
}

function jsonRow(row: ListingRow): object {
  const name = printableName(row.name)
  const isExact = Buffer.from(name, 'utf8').equals(row.name)
  const common = {
    name,
    ...(isExact ? {} : { nameBytes: Buffer.from(row.name).toString('base64') }),
    type: row.type,
    href: hrefOf(row),
  }
  if (row.type === 'folder') return common
  const metadata = {
    mode: row.mode.toString(8).padStart(4, '0'),
    modified: isoTime(row.mtimeSec, row.mtimeNsec),
  }
  if (row.type === 'directory') return { ...common, ...metadata, cid: row.directory.toString() }
  if (row.type === 'symlink') return { ...common, ...metadata, target: printableName(row.target) }
  if (isDevice(row)) return { ...common, ...metadata, device: `${row.major}:${row.minor}` }
  if (row.type !== 'file') return { ...common, ...metadata }
  return {
    ...common,
    ...metadata,
    sizeBytes: row.sizeBytes,
    ...(row.content === undefined ? {} : { cid: row.content.toString() }),
  }
}

/** Relative, and never taken for a scheme, a parent or a version: `:` and `@` are among what encodeName escapes. */
function hrefOf(row: ListingRow): string {
  return encodeName(row.name) + (row.type === 'directory' || row.type === 'folder' ? '/' : '')
}

function isoTime(seconds: number, nanoseconds: number): string {
  const date = new Date(seconds * 1000)
  if (Number.isNaN(date.getTime())) return `@${seconds}`
  const fraction = nanoseconds === 0 ? '' : `.${String(nanoseconds).padStart(9, '0')}`
  return date.toISOString().replace(/\.000Z$/, `${fraction}Z`)
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
