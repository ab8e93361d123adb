/** Links: what is declared of them, and what this node measures beside it. */
import type { TopologyDocument } from '../../api/answers.ts'
import { html } from '../html.ts'
import type { PageProps } from '../page-props.ts'
import { Trouble, useDocument } from '../parts/load.ts'
import { shown } from '../text.ts'
import { Declared } from './declared.ts'
import { Measured } from './measured.ts'

export function Links({ status }: PageProps) {
  const { value, problem, reload } = useDocument<TopologyDocument>('/api/v1/topology', 5000)
  return html`
    <div class="page-head"><div><h1 tabindex="-1">Links</h1>
      <p class="quiet">What admins declare of the links, and what ${shown(status.self.site)} measures beside it</p></div></div>
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    ${value !== undefined && html`<${Measured} paths=${value.measured} self=${status.self.site} /><${Declared} topology=${value} status=${status} onChange=${reload} />`}`
}
