/** One tree: what its head is, where it lies, its pins, its history, its files and what changed between snapshots. */
import { useMemo } from 'preact/hooks'
import type { TreeDocument } from '../../api/answers.ts'
import { countOf, formatBytes } from '../../cli/quantity.ts'
import { Action } from '../actions/dialog.ts'
import { html } from '../html.ts'
import { now } from '../live.ts'
import type { PageProps } from '../page-props.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { useRecords } from '../parts/use-records.ts'
import { findTroubles } from '../problems.ts'
import { linkTo } from '../route.ts'
import { useValue } from '../state.ts'
import { age, atTime, shown } from '../text.ts'
import { treePath } from './address.ts'
import { Changes } from './changes.ts'
import { Files } from './files.ts'
import { Fork } from './fork.ts'
import { HeldBack } from './held-back.ts'
import { TreeHistory } from './history.ts'
import { Pins } from './pins.ts'
import { Places } from './places.ts'
import { PublishDialog } from './publish-dialog.ts'
import { TreeSettingsView } from './settings.ts'

const VIEWS = [
  { view: '', title: 'Where it is' },
  { view: 'history', title: 'History' },
  { view: 'files', title: 'Files' },
  { view: 'changes', title: 'Changes' },
  { view: 'settings', title: 'Settings' },
] as const

export function TreePage({ status, route }: PageProps) {
  const nowMs = useValue(now)
  const { name, query } = route
  const tree = status.trees.find((each) => each.tree === name)
  // A new head, epoch or dispute, and what admins say: the document follows.
  const alarms = status.alarms.filter(({ subject }) => subject === name).length
  const {
    value: document,
    problem,
    reload,
  } = useDocument<TreeDocument>(treePath(name, ''), 0, `${tree?.sequence} ${tree?.epoch} ${alarms}`)
  useRecords(['tree', 'tag', 'epoch'], reload)
  const troubles = useMemo(
    () => findTroubles(status, nowMs).filter((each) => each.page === 'trees' && each.name === name),
    [status, nowMs, name],
  )
  const view = query.get('view') ?? ''
  const publisher = status.sites.find(({ peer }) => peer === tree?.publisher)
  return html`
    <div class="page-head">
      <div>
        <p class="path"><a href=${linkTo('trees')}>Trees</a></p>
        <h1 tabindex="-1">${shown(name)}</h1>
        ${
          tree !== undefined &&
          html`<p class="quiet">${
            tree.sequence === null
              ? 'nothing is published yet'
              : html`<b>@${tree.sequence}</b>${tree.timeMs != null && html`, <span title=${atTime(tree.timeMs)}>${age(tree.timeMs, nowMs)} old</span>`}, ${countOf(tree.files ?? 0, 'file')}, ${formatBytes(tree.bytes ?? 0)}`
          }${publisher !== undefined && html`, published by <a href=${linkTo('sites', publisher.site)}>${shown(publisher.site)}</a>`}
          ${document?.kind !== undefined && document.kind !== 'simple' && html` <span class="tag">${document.kind}</span>`}
          ${document?.readers === 'granted' && html` <span class="tag warn">private</span>`}</p>`
        }
      </div>
      ${
        document?.fork === null &&
        document.epoch?.publisher === status.self.peer &&
        html`<div class="tools"><${Action} label="Publish" tone="primary" dialog=${(onClose: () => void) => html`<${PublishDialog} tree=${document} site=${status.self.site} onClose=${onClose} />`} /></div>`
      }
    </div>
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    ${troubles.map(
      ({ title, detail, severity }) =>
        html`<div key=${title} class="notice ${severity === 'warning' ? 'warn' : 'bad'}" role="status"><b>${shown(title)}.</b> ${shown(detail)}</div>`,
    )}
    ${document?.fork != null && html`<${Fork} tree=${document} status=${status} onChange=${reload} />`}
    ${tree?.heldBack !== undefined && html`<${HeldBack} tree=${name} held=${tree.heldBack} />`}
    ${
      (tree !== undefined || problem === undefined) &&
      html`<nav class="tabs" aria-label="Of this tree"><ul>
      ${VIEWS.map(
        (
          each,
        ) => html`<li key=${each.view}><a href=${linkTo('trees', name, each.view === '' ? {} : { view: each.view })}
          aria-current=${each.view === view ? 'page' : undefined}>${each.title}</a></li>`,
      )}
    </ul></nav>`
    }
    ${
      tree === undefined
        ? html`<p class="nothing">${problem === undefined ? 'Asking this node …' : ''}</p>`
        : view === 'history'
          ? html`<${TreeHistory} tree=${tree} document=${document} onChange=${reload} />`
          : view === 'files'
            ? html`<${Files} tree=${name} reference=${query.get('ref') ?? ''} path=${query.get('path') ?? ''} />`
            : view === 'changes'
              ? html`<${Changes} tree=${tree} from=${query.get('from')} to=${query.get('to')} />`
              : view === 'settings'
                ? document !== undefined &&
                  html`<${TreeSettingsView} tree=${document} status=${status} onChange=${reload} />`
                : html`<${Places} tree=${tree} sites=${status.sites} nowMs=${nowMs} />
                <${Pins} tree=${name} status=${status} />`
    }`
}
