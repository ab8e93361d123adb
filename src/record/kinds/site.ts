/**
 * site: what admins, and operators who may drain, say of a site beside its membership: labels, by which pins name groups of sites across regions, and
 * whether it is drained (on its way out of service).
 *
 * | field | type | meaning |
 * |---|---|---|
 * | drained | bool | it keeps and serves what it has, and takes nothing new |
 * | labels | [text, one segment] | rising strictly, at most 32; an admin's count, an operator's do not |
 * | note | text, 0-256 | why, for people |
 * | site | text, one segment | the site's name; it need not be there yet |
 * | version | int >= 1 | the highest counts |
 */
import { isSegment } from '../../base/names.ts'
import { checkRising, readBoolean, readFields, readInteger, readList, readSegment, wrong } from '../fields.ts'

export interface SiteBody {
  readonly site: string
  readonly labels: readonly string[]
  readonly drained: boolean
  readonly note: string
  readonly version: number
}

export const MAX_LABELS = 32
export const MAX_NOTE_CHARACTERS = 256

export function decodeSite(value: unknown): SiteBody {
  const fields = readFields(value, 'site', ['site', 'labels', 'drained', 'note', 'version'])
  const labels = readList(fields, 'labels', { max: MAX_LABELS }, readLabel)
  checkRising(labels, (a, b) => (a < b ? -1 : a > b ? 1 : 0), 'labels')
  const { note } = fields
  if (typeof note !== 'string' || note.length > MAX_NOTE_CHARACTERS)
    throw wrong('note', `is not a text of at most ${MAX_NOTE_CHARACTERS} characters`)
  return {
    site: readSegment(fields, 'site'),
    labels,
    drained: readBoolean(fields, 'drained'),
    note,
    version: readInteger(fields, 'version', { min: 1 }),
  }
}

function readLabel(value: unknown): string {
  if (!isSegment(value)) throw wrong('a label', 'is not a name of one segment')
  return value
}
