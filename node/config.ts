/**
 * Reads the settings of a node (settings.ts). Order: flag, environment (MIRRORMESH_*), file (YAML), default. An unknown key is an error, with its line.
 */
import { readFile } from 'node:fs/promises'
import { isMap, LineCounter, parseDocument } from 'yaml'
import type { z } from 'zod'
import { asMirrorError, MirrorError } from '../src/base/errors.ts'
import { type Config, type ConfigKey, SETTINGS } from './settings.ts'

const BOOLEANS: readonly ConfigKey[] = ['reachable', 'joinRequests', 'devices', 'checkoutsAreStorage']
const NUMBERS: readonly ConfigKey[] = [
  'httpKeepMovedHours',
  'deltaBases',
  'deltaPercent',
  'httpMaxConnections',
  'httpClientConnections',
  'httpMaxRequests',
  'httpBytesPerSecond',
  'httpClientBytesPerSecond',
  'pullQuotaBytes',
  'wanUpBytesPerSecond',
  'wanDownBytesPerSecond',
  'regionUpBytesPerSecond',
  'regionDownBytesPerSecond',
  'giveWayMs',
  'giveWayMinBytesPerSecond',
  'workers',
  'keepSnapshots',
  'maxShrinkPercent',
  'heldBackDays',
  'keepUnpinnedDays',
  'collectEveryMinutes',
  'scrubBytesPerSecond',
  'scrubEveryDays',
  'hookBehindMinutes',
  'freezeAlarmHours',
  'copiesAlarmMinutes',
  'keepOldSeconds',
  'checkoutsAheadSeconds',
]

export type { Config, ConfigKey } from './settings.ts'

export interface ConfigSources {
  readonly file: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Undefined is "not given". */
  readonly flags: { readonly [K in ConfigKey]?: unknown }
}

export interface Setting {
  readonly key: string
  readonly value: unknown
  readonly from: 'flag' | 'environment' | 'file' | 'default'
  readonly meaning: string
}

const KEYS = Object.keys(SETTINGS.shape) as ConfigKey[]

/** MIRRORMESH_LOG_LEVEL for logLevel. */
export function environmentName(key: string): string {
  return `MIRRORMESH_${key.replace(/[A-Z]/g, '_$&').toUpperCase()}`
}

/** @throws MirrorError `invalid` naming the place of the fault and what is allowed there */
export async function loadConfig(sources: ConfigSources): Promise<Config> {
  return (await gather(sources)).config
}

export async function explainConfig(sources: ConfigSources): Promise<Setting[]> {
  const { config, origin } = await gather(sources)
  return KEYS.map((key) => ({
    key,
    value: config[key] ?? null,
    from: origin.get(key)?.from ?? 'default',
    meaning: SETTINGS.shape[key].description ?? '',
  }))
}

interface Origin {
  readonly from: Setting['from']
  /** For messages: `config.yaml:3`, `MIRRORMESH_HTTP`, `--http`. */
  readonly place: string
}

async function gather({
  file,
  env,
  flags,
}: ConfigSources): Promise<{ config: Config; origin: Map<string, Origin> }> {
  const values: Record<string, unknown> = {}
  const origin = new Map<string, Origin>()
  const add = (key: string, value: unknown, from: Setting['from'], place: string): void => {
    values[key] = value
    origin.set(key, { from, place })
  }
  for (const { key, value, place } of await readConfigFile(file)) add(key, value, 'file', place)
  for (const key of KEYS) {
    const name = environmentName(key)
    const text = env[name]
    if (text !== undefined && text !== '') add(key, fromText(key, text), 'environment', name)
    if (flags[key] !== undefined)
      add(key, flags[key], 'flag', `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`)
  }
  const result = SETTINGS.safeParse(values)
  if (result.success) return { config: result.data, origin }
  throw faultOf(result.error, origin, file)
}

function fromText(key: ConfigKey, text: string): unknown {
  if (BOOLEANS.includes(key) && /^(true|false)$/.test(text)) return text === 'true'
  if (NUMBERS.includes(key)) return Number(text)
  return text.includes(',') ? text.split(',') : text
}

async function readConfigFile(file: string): Promise<{ key: string; value: unknown; place: string }[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw asMirrorError(error, `read the config file ${file}`)
  }
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const fault = document.errors[0]
  if (fault !== undefined) {
    throw new MirrorError(
      'invalid',
      `${file}:${lines.linePos(fault.pos[0]).line}: ${fault.message.split('\n')[0]}`,
    )
  }
  if (document.contents === null) return []
  if (!isMap(document.contents)) {
    throw new MirrorError('invalid', `${file}: not a list of settings ("key: value" each)`)
  }
  return document.contents.items.map((pair) => {
    const range = (pair.key as { range?: [number, number, number] | null }).range
    const key = String(pair.key)
    const value: unknown = document.get(pair.key)
    return {
      key,
      value: hasToJs(value) ? value.toJS(document) : value,
      place: `${file}:${lines.linePos(range?.[0] ?? 0).line}`,
    }
  })
}

function hasToJs(value: unknown): value is { toJS(document: unknown): unknown } {
  return typeof value === 'object' && value !== null && 'toJS' in value
}

function faultOf(error: z.ZodError, origin: Map<string, Origin>, file: string): MirrorError {
  const issue = error.issues[0]!
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!
    const near = KEYS.find((known) => distance(known.toLowerCase(), key.toLowerCase()) <= 2)
    return new MirrorError(
      'invalid',
      `${origin.get(key)?.place ?? file}: unknown key ${JSON.stringify(key)}`,
      {
        facts: { key },
        hint:
          near === undefined ? `Known keys are ${KEYS.join(', ')}.` : `Did you mean ${JSON.stringify(near)}?`,
      },
    )
  }
  const key = String(issue.path[0])
  const found = origin.get(key)
  // A flag has the name of its setting: `--listen is HOST:PORT, ...`, `--log-level: Invalid option: ...`.
  const what =
    found?.from === 'flag'
      ? `${found.place}${issue.message.startsWith('is ') ? '' : ':'}`
      : `${found?.place ?? file}: ${key === 'hooks' || key === 'limitSchedule' ? issue.path.join('.') : key}:`
  return new MirrorError('invalid', `${what} ${issue.message}`, { facts: { key } })
}

/** Levenshtein distance; keys are short. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}
