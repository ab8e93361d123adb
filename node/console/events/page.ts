/** Who said what: every record of the mesh, newest first, by kind and by what it is about. */
import { useEffect, useState } from 'preact/hooks'
import type { RecordDocument, RecordPage } from '../../api/schema/member-answers.ts'
import { getJson, type Problem } from '../api.ts'
import { html } from '../html.ts'
import { now, onEvent } from '../live.ts'
import type { PageProps } from '../page-props.ts'
import { Trouble } from '../parts/load.ts'
import { linkTo } from '../route.ts'
import { useValue } from '../state.ts'
import { quoted } from '../text.ts'
import { EventLine } from './line.ts'

const KINDS = [
  'admin-set',
  'encodings',
  'epoch',
  'genesis',
  'grant',
  'head',
  'invite',
  'member',
  'pin',
  'revocation',
  'site',
  'tag',
  'topology',
  'tree',
  'withdrawal',
]
const PAGE = 100
const MOST = 2000

export function Events({ route }: PageProps) {
  const nowMs = useValue(now)
  const [kind, subject] = [route.query.get('kind') ?? '', route.query.get('about') ?? '']
  const [typed, setTyped] = useState(subject)
  const [state, setState] = useState<{
    records: readonly RecordDocument[]
    cursor: string | null
    problem?: Problem
  }>({ records: [], cursor: null })
  const query = (cursor?: string): string =>
    `/api/v1/records?${new URLSearchParams({ limit: String(PAGE), ...(kind === '' ? {} : { kind }), ...(subject === '' ? {} : { subject }), ...(cursor === undefined ? {} : { cursor }) })}`
  const fail = (problem: Problem): void => setState((old) => ({ ...old, problem }))
  useEffect(() => {
    const controller = new AbortController()
    getJson<RecordPage>(query(), controller.signal).then(setState, (problem: Problem) => {
      if (!controller.signal.aborted) fail(problem)
    })
    const end = onEvent<RecordDocument>('record', (record) => {
      if ((kind !== '' && record.kind !== kind) || (subject !== '' && record.subject !== subject)) return
      setState((old) => ({
        ...old,
        records: [record, ...old.records.filter(({ id }) => id !== record.id)].slice(0, MOST),
      }))
    })
    return () => {
      controller.abort()
      end()
    }
  }, [kind, subject])
  const more = (): void => {
    if (state.cursor === null) return
    getJson<RecordPage>(query(state.cursor)).then(
      ({ records, cursor }) => setState((old) => ({ records: [...old.records, ...records], cursor })),
      fail,
    )
  }
  const go = (part: { kind?: string; about?: string }): void => {
    const next = { kind, about: subject, ...part }
    location.hash = linkTo(
      'events',
      '',
      Object.fromEntries(Object.entries(next).filter(([, value]) => value !== '')),
    )
  }
  return html`
    <div class="page-head">
      <div><h1 tabindex="-1">Events</h1><p class="quiet">Who said what, by the clock of the one who signed. Nothing is ever taken out of this list.</p></div>
      <form class="tools" onSubmit=${(event: Event) => {
        event.preventDefault()
        go({ about: typed.trim() })
      }}>
        <label>Kind <select onChange=${(event: Event) => go({ kind: (event.target as HTMLSelectElement).value })}>
          <option value="" selected=${kind === ''}>all</option>${KINDS.map((each) => html`<option key=${each} value=${each} selected=${each === kind}>${each}</option>`)}
        </select></label>
        <label class="search"><span class="unseen">About a tree, a pin, a site or a key</span>
          <input type="search" value=${typed} placeholder="About" onInput=${(event: InputEvent) => setTyped((event.target as HTMLInputElement).value)} /></label>
      </form>
    </div>
    ${state.problem !== undefined && html`<${Trouble} problem=${state.problem} />`}
    <section class="card" aria-label="Events">
      ${state.records.length === 0 ? html`<p class="nothing">There is none of that kind.</p>` : html`<ul class="events">${state.records.map((record) => html`<${EventLine} key=${record.id} record=${record} nowMs=${nowMs} />`)}</ul>`}
      ${state.cursor !== null && html`<button type="button" onClick=${more}>Older ones</button>`}
    </section>
    <p class="quiet">In a terminal: <code>mirrormesh events${kind === '' ? '' : ` --kind ${kind}`}${subject === '' ? '' : ` --about ${quoted(subject)}`}</code></p>`
}
