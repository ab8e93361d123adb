/** The last few records of the mesh: who said what. */
import { useEffect } from 'preact/hooks'
import type { RecordPage } from '../../api/schema/member-answers.ts'
import { html } from '../html.ts'
import { now, onEvent } from '../live.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { linkTo } from '../route.ts'
import { useValue } from '../state.ts'
import { EventLine } from './line.ts'

const SHOWN = 9

export function RecentEvents() {
  const nowMs = useValue(now)
  const { value, problem, reload } = useDocument<RecordPage>(`/api/v1/records?limit=${SHOWN}`)
  useEffect(() => {
    let timer: number | undefined
    // A publish brings several at once, a new site thousands.
    const soon = (): void => {
      timer ??= window.setTimeout(() => {
        timer = undefined
        reload()
      }, 500)
    }
    const ends = [onEvent('record', soon), onEvent('records', soon)]
    return () => {
      clearTimeout(timer)
      for (const end of ends) end()
    }
  }, [])
  return html`<section class="card" aria-labelledby="events-title">
    <header class="card-head"><h2 id="events-title">Last events</h2><a href=${linkTo('events')}>All events</a></header>
    ${problem !== undefined && value === undefined && html`<${Trouble} problem=${problem} />`}
    <ul class="events">
      ${value?.records.map((record) => html`<${EventLine} key=${record.id} record=${record} nowMs=${nowMs} />`)}
    </ul>
  </section>`
}
