/** The files of a snapshot, folder by folder, as this node holds them. */
import { useEffect, useState } from 'preact/hooks'
import type { EntryLine, EntryListHeader } from '../../api/answers.ts'
import { formatBytes, formatCount } from '../../cli/quantity.ts'
import { getLines, type Problem } from '../api.ts'
import { html } from '../html.ts'
import { Trouble } from '../parts/load.ts'
import { linkTo, route } from '../route.ts'
import { useValue } from '../state.ts'
import { shown } from '../text.ts'
import { childPath, pathText, treePath } from './address.ts'

const PAGE = 500

export function Files({ tree, reference, path }: { tree: string; reference: string; path: string }) {
  const cursor = useValue(route).query.get('after') ?? ''
  const query = {
    ...(reference === '' ? {} : { ref: reference }),
    ...(cursor === '' ? {} : { cursor }),
    limit: String(PAGE),
  }
  const address = treePath(tree, 'entries', query, path)
  const [state, setState] = useState<{
    of?: string
    header?: EntryListHeader
    items?: EntryLine[]
    next?: string | null
    problem?: Problem
  }>({})
  useEffect(() => {
    const controller = new AbortController()
    getLines<EntryListHeader, EntryLine & { cursor?: string | null }>(
      address,
      PAGE + 1,
      controller.signal,
    ).then(
      ({ header, items }) => {
        const next = items.at(-1)?.cursor ?? null
        setState({ of: address, header, items: items.filter((each) => each.path !== undefined), next })
      },
      (problem: Problem) => {
        if (!controller.signal.aborted) setState({ of: address, problem })
      },
    )
    return () => controller.abort()
  }, [address])
  if (state.of !== address) return html`<p class="nothing" role="status">Reading …</p>`
  if (state.problem !== undefined) return html`<${Trouble} problem=${state.problem} />`
  const { header, items = [], next = null } = state
  // The end of a branch in dispute is named by its snapshot: its sequence may be that of another.
  const ref = /^b[a-z2-7]{50,}$/.test(reference) ? reference : String(header?.sequence ?? '')
  const to = (place: string, after = ''): string =>
    linkTo('trees', tree, {
      view: 'files',
      ref,
      ...(place === '' ? {} : { path: place }),
      ...(after === '' ? {} : { after }),
    })
  const parts = path === '' ? [] : path.split('/')
  return html`<section class="card" aria-labelledby="files-title">
    <header class="card-head">
      <h2 id="files-title" class="crumbs"><a href=${to('')}>@${ref}</a>${parts.map(
        (part, i) =>
          html` / <a key=${part} href=${to(parts.slice(0, i + 1).join('/'))}>${shown(pathText(part))}</a>`,
      )}</h2>
      <span class="quiet">${formatCount(header?.entries ?? items.length)} here</span>
    </header>
    ${
      items.length === 0
        ? html`<p class="nothing">This folder is empty.</p>`
        : html`<div class="scroll-x" tabindex="0" role="region" aria-labelledby="files-title"><table class="files">
          <thead><tr><th>Name</th><th class="number">Size</th><th class="number">Changed</th><th>Mode</th></tr></thead>
          <tbody>${items.map((entry) => {
            const place = childPath(path, entry)
            return html`<tr key=${place}>
              <td class="entry ${entry.type}"><${Name} entry=${entry} tree=${tree} reference=${ref} place=${place} to=${to} /></td>
              <td class="number">${entry.sizeBytes === undefined ? '' : formatBytes(entry.sizeBytes)}</td>
              <td class="number quiet">${entry.mtime.slice(0, 16).replace('T', ' ')}</td>
              <td><code class="quiet">${(entry.mode & 0o7777).toString(8).padStart(4, '0')}</code></td>
            </tr>`
          })}</tbody></table></div>`
    }
    ${
      (next !== null || cursor !== '') &&
      html`<nav class="pages" aria-label="Parts of this folder">
        ${cursor !== '' && html`<a href=${to(path)}>From the beginning</a>`}
        ${next !== null && html`<a href=${to(path, next)} rel="next">The next ${formatCount(PAGE)}</a>`}
      </nav>`
    }
  </section>`
}

function Name({
  entry,
  tree,
  reference,
  place,
  to,
}: {
  entry: EntryLine
  tree: string
  reference: string
  place: string
  to: (place: string) => string
}) {
  const name = shown(entry.path)
  if (entry.type === 'directory') return html`<a href=${to(place)}>${name}/</a>`
  if (entry.type === 'file')
    return html`<a href=${treePath(tree, 'file', { ref: reference }, place)} download=${name}>${name}</a>`
  if (entry.type === 'symlink') return html`${name} <span class="quiet">→ ${shown(entry.target ?? '')}</span>`
  return html`${name} <span class="tag">${entry.type}</span>`
}
