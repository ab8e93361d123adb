/** `config`: where everything lies, and what is set, now and from the next start. */
import type { Command } from 'commander'
import type { ConfigDocument } from '../../config-editor.ts'
import { socketToDial } from '../../paths.ts'
import type { Context } from '../context.ts'
import { formatTable } from '../table.ts'

export function define(command: Command, context: Context): void {
  command
    .command('path')
    .description('print every path that this node uses')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => showPaths(context, options))
  command
    .command('show')
    .description('print every setting, with where it comes from: environment, file or default')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => showSettings(context, options))
  command
    .command('check')
    .description('check the config file, changing nothing')
    .option('--json', 'print the finding as JSON')
    .action((options: { json?: boolean }) => checkSettings(context, options))
  command
    .command('set')
    .description('change a setting in the config file, through the daemon, for its next start')
    .argument('<KEY>', 'of those that say how a node works; the others are changed in the file by hand')
    .argument('<VALUE>', 'as in the file (YAML), such as 5, zstd or true')
    .option('--json', 'print every setting as JSON')
    .action((key: string, value: string, options: { json?: boolean }) => change(context, key, value, options))
  command
    .command('unset')
    .description('take a setting out of the config file: its default counts from the next start')
    .argument('<KEY>')
    .option('--json', 'print every setting as JSON')
    .action((key: string, options: { json?: boolean }) => change(context, key, undefined, options))
}

async function change(
  { api, signal, terminal }: Context,
  key: string,
  text: string | undefined,
  { json }: { json?: boolean },
): Promise<void> {
  const { parse } = await import('yaml')
  const value: unknown = text === undefined ? null : parse(text)
  const document = await api.patch<ConfigDocument>('/api/v1/config', { settings: { [key]: value } }, signal)
  if (json === true) return terminal.print(`${JSON.stringify(document, null, 2)}\n`)
  const found = document.settings.find((each) => each.key === key)
  const now = JSON.stringify(found?.value)
  await terminal.print(
    found !== undefined && 'next' in found
      ? `${key}: ${now}, and ${JSON.stringify(found.next)} from the next start\n`
      : `${key}: ${now}\n`,
  )
}

async function showPaths({ paths, terminal }: Context, { json }: { json?: boolean }): Promise<void> {
  const all = {
    config: paths.configFile,
    keys: paths.keysDir,
    store: paths.storeDir,
    temporary: paths.tempDir,
    cache: paths.cacheDir,
    run: paths.runDir,
    socket: socketToDial(paths),
  }
  if (json === true) {
    await terminal.print(`${JSON.stringify({ mode: paths.mode, ...all }, null, 2)}\n`)
    return
  }
  const width = Math.max(...Object.keys(all).map((name) => name.length))
  await terminal.print(
    Object.entries(all)
      .map(([name, path]) => `${name.padEnd(width)}  ${path}\n`)
      .join(''),
  )
}

/** A fault is an error like any other: on stderr, with exit code 2. */
async function checkSettings({ paths, env, terminal }: Context, { json }: { json?: boolean }): Promise<void> {
  const { loadConfig } = await import('../../config.ts')
  const file = paths.configFile
  await loadConfig({ file, env, flags: {} })
  await terminal.print(
    json === true ? `${JSON.stringify({ file, isGood: true }, null, 2)}\n` : `${file}: good\n`,
  )
}

async function showSettings({ paths, env, terminal }: Context, { json }: { json?: boolean }): Promise<void> {
  const { explainConfig } = await import('../../config.ts')
  const settings = await explainConfig({ file: paths.configFile, env, flags: {} })
  if (json === true) {
    await terminal.print(`${JSON.stringify({ settings }, null, 2)}\n`)
    return
  }
  await terminal.print(
    formatTable(
      [{ title: 'SETTING' }, { title: 'VALUE' }, { title: 'FROM' }, { title: 'MEANING' }],
      settings.map(({ key, value, from, meaning }) => [key, JSON.stringify(value), from, meaning]),
    ),
  )
}
