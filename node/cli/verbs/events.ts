/**
 * `events`: every record of the mesh, newest first: who said what, when, by which key. With --follow what happens from now
 * on: records, alarms and jobs.
 */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { JobDocument } from '../../api/jobs/job-document.ts'
import type { RecordDocument, RecordPage } from '../../api/schema/member-answers.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../quantity.ts'
import { formatTable, shortIds } from '../table.ts'

interface Options {
  readonly limit: string
  readonly kind?: string
  readonly about?: string
  readonly follow?: boolean
  readonly json?: boolean
}

/** What the API gives at a time. */
const PAGE = 1000

export function define(command: Command, context: Context): void {
  command
    .option('--limit <N>', 'at most this many', '50')
    .option('--kind <KIND>', 'records of this kind only: member, head, pin, tag, revocation and so on')
    .option('--about <NAME>', 'only what is about this tree, pin, site or key')
    .option('--follow', 'print records, alarms and jobs as they come, until it is interrupted')
    .option('--json', 'print them as JSON, one a line')
    .action((options: Options) =>
      options.follow === true ? follow(context, options) : show(context, options),
    )
}

/** A line an event, on any output. It ends with the daemon, as an error. */
async function follow(context: Context, { kind, about, json }: Options): Promise<void> {
  const { api, clock, signal, terminal } = context
  const path = '/api/v1/events?kinds=record,records,alarm,job'
  for await (const { id, event, data } of api.events(path, signal)) {
    const document = data as Readonly<Record<string, unknown>>
    if (event === 'open' || event === 'reset') continue
    if (kind !== undefined && (event !== 'record' || document.kind !== kind)) continue
    if (about !== undefined && document.subject !== about) continue
    if (json === true) await terminal.print(`${JSON.stringify({ event, id, ...document })}\n`)
    else await terminal.print(`${formatTime(clock.nowMs())}  ${textOf(event, document)}\n`)
  }
}

function textOf(event: string, document: Readonly<Record<string, unknown>>): string {
  if (event === 'record') {
    const { issuerSite, isAdmin, text } = document as unknown as RecordDocument
    return `${issuerSite ?? (isAdmin ? 'an admin' : 'somebody')}: ${text}`
  }
  if (event === 'records') return `${document.count} records came at once`
  if (event === 'alarm') {
    return `${document.isRaised === true ? 'alarm' : 'over'}: ${document.kind} ${document.subject}: ${document.detail}`
  }
  const { kind, state, progress } = document as unknown as JobDocument
  return `job ${kind}: ${state === 'running' && progress !== undefined ? progress.phase : state}`
}

/** A misspelt kind would look like a quiet mesh. What a later version says has other kinds, so nothing is refused. */
async function sayKnownKinds({ say }: Context['terminal'], kind: string): Promise<void> {
  const { KINDS } = await import('../../../src/record/content.ts')
  if (!KINDS.includes(kind))
    say(`mirrormesh: note: this version knows no kind ${JSON.stringify(kind)}; it knows ${KINDS.join(', ')}.`)
}

async function show(
  { api, signal, terminal }: Context,
  { limit, kind, about, json }: Options,
): Promise<void> {
  if (!/^[1-9]\d{0,6}$/.test(limit))
    throw new MirrorError('invalid', `--limit is a number from 1, not ${limit}`)
  const records: RecordDocument[] = []
  let left = Number(limit)
  for (let cursor: string | null = ''; cursor !== null && left > 0; ) {
    const query = new URLSearchParams({
      limit: String(Math.min(left, PAGE)),
      ...(cursor === '' ? {} : { cursor }),
      ...(kind === undefined ? {} : { kind }),
      ...(about === undefined ? {} : { subject: about }),
    })
    const page: RecordPage = await api.get<RecordPage>(`/api/v1/records?${query}`, signal)
    cursor = page.cursor
    left -= page.records.length
    // Of a long list nothing is kept; a table needs its widths.
    if (json !== true) records.push(...page.records)
    else for (const record of page.records) await terminal.print(`${JSON.stringify(record)}\n`)
  }
  if (records.length === 0 && kind !== undefined && json !== true) await sayKnownKinds(terminal, kind)
  if (json === true) return
  const short = shortIds(
    records.map(({ issuer }) => issuer),
    '12D3KooW'.length,
  )
  await terminal.print(
    formatTable(
      [{ title: 'TIME' }, { title: 'BY' }, { title: 'KEY' }, { title: 'WHAT' }],
      records.map((record) => [
        formatTime(record.timeMs),
        record.issuerSite ?? (record.isAdmin ? 'an admin' : '-'),
        short(record.issuer),
        record.isInForce === false ? `${record.text} (not in force)` : record.text,
      ]),
    ),
  )
}
