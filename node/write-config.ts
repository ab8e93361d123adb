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
  const lines = Object.entries(settings).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
  const text = `# Settings of this node. \`mirrormesh config show\` prints all there are, with their meaning.\n${lines.join('')}`
  const present = await readFile(file, 'utf8').catch(() => undefined)
  if (present === text || (present !== undefined && lines.length === 0)) return
  if (present !== undefined) {
    throw new MirrorError('conflict', `there is a config file already: ${file}`, {
      hint: `Leave out --listen and --http, and set them there.`,
    })
  }
  makeDirs(dirname(file), 0o755)
  await writeDurably(file, text, { mode: 0o644, isNew: true })
}
