/** What a newcomer sees instead of an empty matrix: how a mesh comes to life, and how far this one is. */
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import { html } from '../html.ts'
import { Command } from '../parts/command.ts'

export function isNew(status: StatusDocument): boolean {
  return !status.trees.some(({ sequence }) => sequence !== null)
}

export function FirstSteps({ status }: { status: StatusDocument }) {
  const hasOthers = status.sites.length > 1
  const isUp = status.sites.some(({ state }) => state === 'up')
  const hasPin = status.trees.some(({ sites }) => sites.length > 0)
  const steps = [
    {
      isDone: hasOthers,
      title: 'Invite a site',
      text: 'The token that this prints lets one node in, once, within a day. It is signed with the key of an admin.',
      commands: ['mirrormesh invite create --site lab-a --region eu'],
    },
    {
      isDone: isUp,
      title: 'Join from there',
      text: 'On the machine of the new site. Its node asks this one to be let in, and then knows the mesh by itself.',
      commands: ['mirrormesh join TOKEN', 'mirrormesh daemon'],
    },
    {
      isDone: hasPin,
      title: 'Say what is kept where',
      text: 'A pin has sites keep a tree and follow its newest snapshot. Every site, one region, or one site.',
      commands: ['mirrormesh pin add builds/nightly --all'],
    },
    {
      isDone: false,
      title: 'Publish',
      text: 'Each site takes what it lacks from the nearest site that has it. This page fills while it does.',
      commands: ['mirrormesh publish ./nightly --tree builds/nightly'],
    },
  ]
  const next = steps.findIndex(({ isDone }) => !isDone)
  return html`<section class="card first-steps" aria-labelledby="steps-title">
    <h2 id="steps-title">Nothing is published yet: four steps from here</h2>
    <ol>
      ${steps.map(
        ({ isDone, title, text, commands }, i) => html`<li key=${title}
          class=${isDone ? 'done' : i === next ? 'next' : ''} aria-current=${i === next ? 'step' : undefined}>
          <h3>${title}${isDone && html`<span class="tag good">done</span>`}</h3>
          <p>${text}</p>
          ${commands.map((text) => html`<${Command} key=${text} text=${text} />`)}
        </li>`,
      )}
    </ol>
  </section>`
}
