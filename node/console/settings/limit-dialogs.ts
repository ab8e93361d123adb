/** Changing caps, and when they hold: as the command line has them. What somebody else changed meanwhile is not overwritten. */
import { useEffect, useState } from 'preact/hooks'
import { giveWayValue, parseGiveWay } from '../../cli/give-way.ts'
import { CAPS, formatWindow, parseRate, parseWindow, rateText } from '../../cli/limit-window.ts'
import type { GiveWayName, LimitName } from '../../limit-names.ts'
import type { LimitsDocument } from '../../limits.ts'
import { Dialog } from '../actions/dialog.ts'
import { getTagged, type Problem, patchJson } from '../api.ts'
import { html } from '../html.ts'
import { Trouble } from '../parts/load.ts'
import { quoted } from '../text.ts'

export const LIMITS = '/api/v1/limits'

interface Read {
  readonly value: LimitsDocument
  readonly tag: string
}

function useLimits(): { readonly read?: Read; readonly problem?: Problem } {
  const [state, setState] = useState<{ read?: Read; problem?: Problem }>({})
  useEffect(() => {
    const controller = new AbortController()
    getTagged<LimitsDocument>(LIMITS, controller.signal).then(
      (read) => setState({ read }),
      (problem: Problem) => {
        if (!controller.signal.aborted) setState({ problem })
      },
    )
    return () => controller.abort()
  }, [])
  return state
}

const LABELS: Readonly<Record<keyof typeof CAPS, string>> = {
  'wan-up': 'To other regions',
  'wan-down': 'From other regions',
  'region-up': 'To this region',
  'region-down': 'From this region',
}

interface Field {
  readonly name: string
  readonly label: string
  readonly key: LimitName | GiveWayName
  /** What it is when no window says otherwise, as it would be typed. */
  readonly textOf: (value: LimitsDocument) => string
  /** Null is what config.yaml says. @throws MirrorError `invalid` */
  readonly parse: (text: string) => number | null
  readonly says: string
}

const rateOrConfig = (text: string): number | null => (text === 'config' ? null : parseRate(text))

const FIELDS: readonly Field[] = [
  ...Object.entries(CAPS).map(
    ([name, key]): Field => ({
      ...{ name, key, label: LABELS[name as keyof typeof CAPS] },
      textOf: (value) => capText(value, key),
      parse: rateOrConfig,
      says: 'a rate is 500k, 20M, none or config.',
    }),
  ),
  {
    ...{ name: 'give-way', key: 'giveWayMs', label: 'Give way to other traffic' },
    textOf: ({ giveWayMs: { from, value } }) => (from === 'config' ? 'config' : giveWayValue(value)),
    parse: parseGiveWay,
    says: 'on, off, milliseconds of queue such as 40, or config.',
  },
  {
    ...{ name: 'give-way-min', key: 'giveWayMinBytesPerSecond', label: 'But send at least' },
    textOf: ({ giveWayMinBytesPerSecond: { from, value } }) =>
      from === 'config' ? 'config' : rateText(value),
    parse: rateOrConfig,
    says: 'a rate of 50k or more, or config.',
  },
]

export function LimitsDialog({ onClose }: { onClose: () => void }) {
  const { read, problem } = useLimits()
  const [typed, setTyped] = useState<Readonly<Record<string, string>>>({})
  const changes = FIELDS.flatMap((field) => {
    const text = typed[field.name]?.trim()
    return read === undefined || text === undefined || text === field.textOf(read.value)
      ? []
      : [{ ...field, text }]
  })
  const wrong = changes.find(({ parse, text }) => !isGood(() => parse(text)))
  const run = async (): Promise<undefined> => {
    const body = changes.map(({ key, parse, text }) => [key, parse(text)] as const)
    await patchJson(LIMITS, Object.fromEntries(body), read?.tag)
  }
  return html`<${Dialog} title="Limits of this node" confirm="Change them" run=${run} onClose=${onClose}
    isReady=${changes.length > 0 && wrong === undefined}
    command=${changes.length === 0 ? undefined : `mirrormesh limits set ${changes.map(({ name, text }) => `--${name} ${quoted(text)}`).join(' ')}`}>
    <p>They count at once, and are kept over restarts. Bytes a second, such as 500k or 20M; none is no cap; config is what config.yaml says.</p>
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    ${
      read !== undefined &&
      html`<div class="fields">${FIELDS.map(
        ({ name, label, textOf }) => html`<label key=${name}>${label} <input type="text" spellcheck=${false}
          value=${typed[name] ?? textOf(read.value)}
          onInput=${(event: InputEvent) => setTyped({ ...typed, [name]: (event.target as HTMLInputElement).value })} /></label>`,
      )}</div>`
    }
    ${wrong !== undefined && html`<p class="notice warn">${wrong.label}: ${wrong.says}</p>`}
  </${Dialog}>`
}

function capText(value: LimitsDocument, key: (typeof CAPS)[keyof typeof CAPS]): string {
  const { otherwise, configured, from } = value[key]
  return from === 'config' || (from === 'schedule' && otherwise === configured)
    ? 'config'
    : rateText(otherwise)
}

export function ScheduleDialog({ onClose }: { onClose: () => void }) {
  const { read, problem } = useLimits()
  const [typed, setTyped] = useState<string | undefined>(undefined)
  const [zone, setZone] = useState<string | undefined>(undefined)
  const schedule = read?.value.schedule
  const text = typed ?? schedule?.windows.map(formatWindow).join('\n') ?? ''
  const timeZone = (zone ?? schedule?.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone).trim()
  const lines = text
    .split('\n')
    .map((each) => each.trim())
    .filter((each) => each !== '')
  const wrong = lines.find((each) => !isGood(() => parseWindow(each)))
  const run = async (): Promise<undefined> => {
    await patchJson(LIMITS, { schedule: { timeZone, windows: lines.map(parseWindow) } }, read?.tag)
  }
  const line =
    lines.length === 0
      ? 'mirrormesh limits schedule --none'
      : `mirrormesh limits schedule ${lines.map((each) => `--window ${quoted(each)}`).join(' ')} --time-zone ${quoted(timeZone)}`
  return html`<${Dialog} title="Limits by the time of the week" confirm="Set the schedule" run=${run} onClose=${onClose}
    isReady=${read !== undefined && wrong === undefined && timeZone !== ''} command=${line}>
    <p>One window a line: days, from and to at quarters of an hour, and the caps that differ. The first that holds counts. Without lines
      nothing is scheduled.</p>
    ${problem !== undefined && html`<${Trouble} problem=${problem} />`}
    <div class="fields">
      <label>Windows <textarea rows="5" spellcheck=${false} placeholder="mon-fri 08:00-18:00 wan-up=2M wan-down=5M"
        onInput=${(event: InputEvent) => setTyped((event.target as HTMLTextAreaElement).value)}>${text}</textarea></label>
      <label>Time zone <input type="text" value=${timeZone} spellcheck=${false} placeholder="Europe/Prague"
        onInput=${(event: InputEvent) => setZone((event.target as HTMLInputElement).value)} /></label>
    </div>
    ${wrong !== undefined && html`<p class="notice warn">${wrong}: a window is like mon-fri 08:00-18:00 wan-up=2M; caps are ${Object.keys(CAPS).join(', ')}.</p>`}
  </${Dialog}>`
}

function isGood(parse: () => unknown): boolean {
  try {
    parse()
    return true
  } catch {
    return false
  }
}
