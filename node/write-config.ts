/** Writes the first config file of a node. One that is there belongs to its owner and is never changed. */
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MirrorError } from '../src/base/errors.ts'
import { makeDirs } from '../src/posix/make-dirs.ts'
import { writeDurably } from './durable-file.ts'

export interface SettingsToWrite {
  readonly listen?: string
  readonly http?: string
}

export async function writeConfigFile(file: string, settings: SettingsToWrite): Promise<void> {
  const text = textOf(settings)
  if (await isThere(file, text, settings)) return
  makeDirs(dirname(file), 0o755)
  await writeDurably(file, text, { mode: 0o644, isNew: true })
}

/** Writes nothing. @throws MirrorError `conflict` when `writeConfigFile` would */
export async function checkConfigFile(file: string, settings: SettingsToWrite): Promise<void> {
  await isThere(file, textOf(settings), settings)
}

function textOf(settings: SettingsToWrite): string {
  const lines = Object.entries(settings).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
  return `# Settings of this node. \`mirrormesh config show\` prints all there are, with their meaning.\n${lines.join('')}`
}

async function isThere(file: string, text: string, settings: SettingsToWrite): Promise<boolean> {
  const present = await readFile(file, 'utf8').catch(() => undefined)
  if (present === undefined) return false
  if (present === text || Object.keys(settings).length === 0) return true
  throw new MirrorError('conflict', `there is a config file already: ${file}`, {
    hint: `Leave out --listen and --http, and set them there.`,
  })
}
