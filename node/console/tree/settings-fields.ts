/** What an admin says of a tree, as fields: its kind, who reads it, its gate and what stays; and as the command line has it. */
import type { TreeGate, TreeKind } from '../../../src/record/kinds/tree.ts'
import { html } from '../html.ts'
import { quoted } from '../text.ts'
import type { TreeSettings } from './tree-body.ts'

const MAX_KEEP_LAST = 10_000
const MAX_KEEP_DAYS = 36_500

export interface SettingsDraft {
  readonly kind: TreeKind
  readonly isPrivate: boolean
  readonly gate: 'none' | 'file' | 'deb' | 'rpm'
  readonly path: string
  readonly text: string
  readonly last: string
  readonly days: string
}

const KINDS: readonly { kind: TreeKind; means: string }[] = [
  { kind: 'simple', means: 'one tree that moves on' },
  { kind: 'versioned', means: 'folders at its root that never change' },
  { kind: 'snapshot', means: 'only what passes its gate' },
]

const GATES: readonly { gate: SettingsDraft['gate']; means: string }[] = [
  { gate: 'none', means: 'Publish whatever is there' },
  { gate: 'file', means: 'A file has to say so' },
  { gate: 'deb', means: 'Its deb repositories have to be whole' },
  { gate: 'rpm', means: 'Its rpm repositories have to be whole' },
]

export function draftOf({ kind, readers, gate, keep }: TreeSettings): SettingsDraft {
  const file = gate !== null && 'path' in gate ? gate : undefined
  return {
    kind,
    isPrivate: readers === 'granted',
    gate: gate === null ? 'none' : 'path' in gate ? 'file' : gate.repository,
    path: file?.path ?? '',
    text: file?.text ?? '',
    last: keep?.last === undefined ? '' : String(keep.last),
    days: keep?.days === undefined ? '' : String(keep.days),
  }
}

/** What is wrong with it, in words; undefined when it can be signed. */
export function faultOf({ kind, gate, path, last, days }: SettingsDraft): string | undefined {
  if (kind === 'snapshot' && gate === 'none')
    return 'A tree of kind snapshot has a gate: say what a snapshot has to show.'
  if (gate === 'file' && path.split('/').some((name) => name === '' || name === '.' || name === '..'))
    return 'The file of the gate is a path from the root of the tree, such as STATUS.'
  if (!isCount(last, MAX_KEEP_LAST) || !isCount(days, MAX_KEEP_DAYS))
    return `Kept are 1 to ${MAX_KEEP_LAST} snapshots, and those of 1 to ${MAX_KEEP_DAYS} days.`
  return undefined
}

function isCount(text: string, most: number): boolean {
  return text === '' || (/^[1-9]\d{0,5}$/.test(text) && Number(text) <= most)
}

export function settingsOf({ kind, isPrivate, gate, path, text, last, days }: SettingsDraft): TreeSettings {
  const found: TreeGate | null =
    gate === 'none' ? null : gate === 'file' ? { path, text } : { repository: gate }
  return {
    kind,
    readers: isPrivate ? 'granted' : 'members',
    gate: found,
    keep:
      last === '' && days === ''
        ? null
        : {
            ...(last === '' ? {} : { last: Number(last) }),
            ...(days === '' ? {} : { days: Number(days) }),
          },
  }
}

/** Options of `tree create` and `tree set`: those that make `after` of `before`. */
export function flagsOf(before: TreeSettings, after: TreeSettings): string[] {
  const isOther = (name: 'gate' | 'keep'): boolean =>
    JSON.stringify(before[name]) !== JSON.stringify(after[name])
  const { gate, keep } = after
  return [
    ...(before.kind === after.kind ? [] : [`--kind ${after.kind}`]),
    ...(before.readers === after.readers ? [] : [after.readers === 'granted' ? '--private' : '--no-private']),
    ...(!isOther('gate')
      ? []
      : gate === null
        ? ['--no-gate']
        : 'path' in gate
          ? [`--gate-file ${quoted(`${gate.path}=${gate.text}`)}`]
          : [`--gate-repository ${gate.repository}`]),
    ...(!isOther('keep')
      ? []
      : keep === null
        ? ['--no-keep']
        : [
            ...(keep.last === undefined ? [] : [`--keep-last ${keep.last}`]),
            ...(keep.days === undefined ? [] : [`--keep-days ${keep.days}`]),
          ]),
  ]
}

export function gateText(gate: TreeGate | null): string {
  if (gate === null) return 'none: whatever is there is published'
  return 'path' in gate
    ? `published when the first line of ${gate.path} is “${gate.text}”`
    : `published when its ${gate.repository} repositories have all that their metadata names`
}

export function SettingsFields({
  draft,
  onChange,
}: {
  draft: SettingsDraft
  onChange: (draft: SettingsDraft) => void
}) {
  const set = (part: Partial<SettingsDraft>): void => onChange({ ...draft, ...part })
  const textOf = (event: Event): string => (event.target as HTMLInputElement | HTMLSelectElement).value
  return html`<div class="fields">
      <label>Kind <select value=${draft.kind} onChange=${(event: Event) => set({ kind: textOf(event) as TreeKind })}>
        ${KINDS.map(({ kind, means }) => html`<option key=${kind} value=${kind} selected=${kind === draft.kind}>${kind}: ${means}</option>`)}
      </select></label>
      <label>Gate <select value=${draft.gate} onChange=${(event: Event) => set({ gate: textOf(event) as SettingsDraft['gate'] })}>
        ${GATES.map(({ gate, means }) => html`<option key=${gate} value=${gate} selected=${gate === draft.gate}>${means}</option>`)}
      </select></label>
      ${
        draft.gate === 'file' &&
        html`<label>The file <input type="text" value=${draft.path} maxlength="1024" placeholder="STATUS" spellcheck=${false} onInput=${(event: Event) => set({ path: textOf(event) })} /></label>
        <label>Its first line <input type="text" value=${draft.text} maxlength="256" placeholder="FINISHED" spellcheck=${false} onInput=${(event: Event) => set({ text: textOf(event) })} /></label>`
      }
      <label>Keep the newest <input type="number" min="1" max=${MAX_KEEP_LAST} value=${draft.last} placeholder="as the sites say" onInput=${(event: Event) => set({ last: textOf(event) })} /></label>
      <label>Keep for days <input type="number" min="1" max=${MAX_KEEP_DAYS} value=${draft.days} placeholder="as the sites say" onInput=${(event: Event) => set({ days: textOf(event) })} /></label>
      <label class="check"><input type="checkbox" checked=${draft.isPrivate}
        onChange=${(event: Event) => set({ isPrivate: (event.target as HTMLInputElement).checked })} />
        Private: only its publishers, and members with a reader's grant</label>
    </div>`
}
