/**
 * Changes settings in config.yaml while the daemon runs: what it says counts from the next start, and is shown beside what this run
 * goes by. Comments and order stay. Only settings of how a node works can be changed from afar: not where it listens, whom it
 * trusts, or what it runs, which stay with whoever may log in there.
 */
import { readFile, realpath, stat } from 'node:fs/promises'
import { parseDocument } from 'yaml'
import { asMirrorError, MirrorError } from '../src/base/errors.ts'
import { Semaphore } from '../src/base/semaphore.ts'
import { type ConfigKey, explainConfig, type Setting } from './config.ts'
import { writeDurably } from './durable-file.ts'
import { SETTINGS } from './settings.ts'

export const EDITABLE = [
  'joinRequests',
  'httpMaxConnections',
  'httpClientConnections',
  'httpMaxRequests',
  'httpBytesPerSecond',
  'httpClientBytesPerSecond',
  'httpKeepMovedHours',
  'pullQuotaBytes',
  'logLevel',
  'workers',
  'storeCompression',
  'wireCompression',
  'deltas',
  'deltaBases',
  'deltaPercent',
  'wanUpBytesPerSecond',
  'wanDownBytesPerSecond',
  'regionUpBytesPerSecond',
  'regionDownBytesPerSecond',
  'giveWayMs',
  'giveWayMinBytesPerSecond',
  'limitSchedule',
  'keepSnapshots',
  'keepUnpinnedDays',
  'maxShrinkPercent',
  'heldBackDays',
  'collectEveryMinutes',
  'scrubBytesPerSecond',
  'scrubEveryDays',
  'hookBehindMinutes',
  'freezeAlarmHours',
  'copiesAlarmMinutes',
  'keepOldSeconds',
  'checkoutsAheadSeconds',
] as const satisfies readonly ConfigKey[]

export interface ShownSetting extends Setting {
  readonly isEditable: boolean
  /** What it will be from the next start, where that is another. */
  readonly next?: unknown
}

export interface ConfigDocument {
  readonly settings: readonly ShownSetting[]
  /** Why the file could not be read now: the daemon would not start by it. */
  readonly fault?: string
}

export interface ConfigEditor {
  read(): Promise<ConfigDocument>
  /** Null takes a setting out of the file. Durable, then answered. @throws MirrorError `invalid` | `conflict` | `refused` */
  change(changes: Readonly<Record<string, unknown>>): Promise<ConfigDocument>
}

export function createConfigEditor({
  file,
  settings,
}: {
  readonly file: string
  /** Of this run. */
  readonly settings: readonly Setting[]
}): ConfigEditor {
  const turns = new Semaphore(1)

  async function read(): Promise<ConfigDocument> {
    try {
      const now = new Map(
        (await explainConfig({ file, env: {}, flags: {} })).map(({ key, value }) => [key, value]),
      )
      return { settings: settings.map((each) => shown(each, now.get(each.key))) }
    } catch (error) {
      const fault = asMirrorError(error, `read ${file}`).message
      return { settings: settings.map((each) => shown(each, each.value)), fault }
    }
  }

  function shown(setting: Setting, next: unknown): ShownSetting {
    const isFixed = setting.from === 'flag' || setting.from === 'environment'
    const isEditable = !isFixed && EDITABLE.some((key) => key === setting.key)
    const isOther = !isFixed && JSON.stringify(next) !== JSON.stringify(setting.value)
    return { ...setting, isEditable, ...(isOther ? { next } : {}) }
  }

  function check(key: string, value: unknown): void {
    const known = settings.find((each) => each.key === key)
    if (known === undefined)
      throw new MirrorError('invalid', `there is no setting ${JSON.stringify(key.slice(0, 64))}`)
    if (!EDITABLE.some((each) => each === key)) {
      throw new MirrorError('refused', `${key} can be changed at the node only, in its config file`, {
        facts: { key },
      })
    }
    if (known.from === 'flag' || known.from === 'environment') {
      throw new MirrorError(
        'conflict',
        `${key} comes from a ${known.from === 'flag' ? 'flag' : 'variable of the environment'}, which goes before the file`,
      )
    }
    if (value === null) return
    const found = SETTINGS.shape[key as ConfigKey].safeParse(value)
    if (!found.success)
      throw new MirrorError('invalid', `${key}: ${found.error.issues[0]!.message}`, { facts: { key } })
  }

  return {
    read,
    change: (changes) =>
      turns.run(async () => {
        for (const [key, value] of Object.entries(changes)) check(key, value)
        // A file that is a link stays one.
        const place = await realpath(file).catch(() => file)
        const before = await readText(place)
        const document = parseDocument(before.text)
        const fault = document.errors[0]
        if (fault !== undefined)
          throw new MirrorError('invalid', `${file} cannot be changed: ${fault.message.split('\n')[0]}`)
        for (const [key, value] of Object.entries(changes)) {
          if (value === null) document.delete(key)
          else document.set(key, value)
        }
        await writeDurably(place, document.toString(), { mode: before.mode }).catch((error) => {
          throw asMirrorError(error, `write ${file}`)
        })
        return read()
      }),
  }
}

async function readText(file: string): Promise<{ readonly text: string; readonly mode: number }> {
  try {
    return { text: await readFile(file, 'utf8'), mode: (await stat(file)).mode & 0o777 }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { text: '', mode: 0o644 }
    throw asMirrorError(error, `read the config file ${file}`)
  }
}
