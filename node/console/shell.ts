/** What is around every page: the way to the others, where one is, and whether what is shown is live. */
import type { ComponentType } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { Events } from './events/page.ts'
import { html } from './html.ts'
import { Links } from './links/page.ts'
import { type Connection, connection, now, reconnect, status } from './live.ts'
import { MeshMap } from './map/page.ts'
import { Members } from './members/page.ts'
import { Overview } from './overview/page.ts'
import type { PageProps } from './page-props.ts'
import { findTroubles } from './problems.ts'
import { linkTo, route } from './route.ts'
import { Settings } from './settings/page.ts'
import { SignIn } from './sign-in.ts'
import { SiteList } from './site/list.ts'
import { SitePage } from './site/page.ts'
import { useValue } from './state.ts'
import { age, shown } from './text.ts'
import { Transfers } from './transfers/page.ts'
import { TreeList } from './tree/list.ts'
import { TreePage } from './tree/page.ts'

interface Page {
  readonly page: string
  readonly title: string
  readonly view: ComponentType<PageProps>
}

/** A page of its own for each name: what one keeps is not the other's. */
function listOr(List: ComponentType<PageProps>, One: ComponentType<PageProps>): ComponentType<PageProps> {
  return (props) => html`<${props.route.name === '' ? List : One} key=${props.route.name} ...${props} />`
}

const PAGES: readonly Page[] = [
  { page: '', title: 'Overview', view: Overview },
  { page: 'trees', title: 'Trees', view: listOr(TreeList, TreePage) },
  { page: 'sites', title: 'Sites', view: listOr(SiteList, SitePage) },
  { page: 'transfers', title: 'Transfers', view: Transfers },
  { page: 'map', title: 'Map', view: MeshMap },
  { page: 'links', title: 'Links', view: Links },
  { page: 'members', title: 'Members', view: Members },
  { page: 'events', title: 'Events', view: Events },
  { page: 'settings', title: 'Settings', view: Settings },
]

export function Shell() {
  const at = useValue(route)
  const found = useValue(status)
  const link = useValue(connection)
  const main = useRef<HTMLElement>(null)
  const page = PAGES.find((each) => each.page === at.page)
  const title = at.name === '' ? (page?.title ?? 'Not found') : at.name
  const troubles = found === undefined ? 0 : findTroubles(found, now.get()).length

  useEffect(() => {
    const mark = troubles > 0 ? `(${troubles}) ` : ''
    document.title = `${mark}${shown(title)} - ${found === undefined ? 'mirrormesh' : shown(found.mesh.name)}`
  }, [title, troubles, found?.mesh.name])

  const isFirst = useRef(true)
  useEffect(() => {
    // Whoever follows a link by ear is told of the new page; at the start the browser does that.
    if (!isFirst.current) main.current?.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true })
    isFirst.current = false
    scrollTo(0, 0)
  }, [at.page, at.name])

  const skip = (event: Event): void => {
    event.preventDefault()
    main.current?.focus()
  }
  return html`
    <a class="skip" href="#main" onClick=${skip}>To the content</a>
    <header class="bar">
      <a class="brand" href=${linkTo('')}>
        <svg viewBox="0 0 32 32" aria-hidden="true"><path d="M16 7 7.5 22h17z" /><circle cx="16" cy="7.5" r="4" /><circle cx="7.5" cy="22" r="4" /><circle cx="24.5" cy="22" r="4" /></svg>
        <span>${found === undefined ? 'mirrormesh' : shown(found.mesh.name)}</span>
      </a>
      <nav aria-label="Pages">
        <ul>
          ${PAGES.map(
            (each) => html`<li key=${each.page}>
              <a href=${linkTo(each.page)} aria-current=${each.page === at.page ? 'page' : undefined}>${each.title}</a>
            </li>`,
          )}
        </ul>
      </nav>
      <${Link} link=${link} self=${found?.self} />
    </header>
    <main id="main" ref=${main} tabindex="-1">
      ${
        link.state === 'signed-out'
          ? html`<${SignIn} />`
          : found === undefined
            ? html`<p class="nothing" role="status">${link.state === 'reconnecting' ? link.why : 'Asking this node …'}</p>`
            : page === undefined
              ? html`<h1 tabindex="-1">There is no such page</h1><p><a href=${linkTo('')}>To the overview</a></p>`
              : html`<${page.view} status=${found} route=${at} />`
      }
    </main>`
}

function Link({ link, self }: { link: Connection; self: StatusDocument['self'] | undefined }) {
  const nowMs = useValue(now)
  const texts: Record<Connection['state'], string> = {
    connecting: 'connecting',
    live: 'live',
    reconnecting: 'reconnecting',
    'signed-out': 'signed out',
  }
  return html`<div class="link-state ${link.state}">
    <span role="status"><i aria-hidden="true"></i>${texts[link.state]}</span>
    ${self !== undefined && html`<small title=${self.peer}>seen from ${shown(self.site)}</small>`}
    ${
      link.state === 'reconnecting' &&
      html`<small>${link.why}; last heard ${age(link.sinceMs, nowMs)} ago</small>
        <button type="button" class="quiet" onClick=${reconnect}>Try now</button>`
    }
  </div>`
}
