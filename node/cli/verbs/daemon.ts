/** `daemon`: the node itself, in the foreground, until a signal. */
import type { Command } from 'commander'
import type { Context } from '../context.ts'

interface Options {
  readonly listen?: string
  readonly http?: string
  readonly logLevel?: string
  readonly logFormat?: string
}

export function define(command: Command, context: Context): void {
  command
    .option('--listen <HOST:PORT>', 'where other nodes connect; overrides the config file')
    .option('--http <HOST:PORT>', 'where the gateway answers, or off; overrides the config file')
    .option('--log-level <LEVEL>', 'debug, info, warn or error')
    .option('--log-format <FORMAT>', 'json, text, or auto: text on a terminal')
    .addHelpText(
      'after',
      `
Runs in the foreground and logs to stderr. One line on stdout says when it is ready. SIGTERM and Ctrl-C end it after
what is in flight has been stored; a second one ends it at once, which loses nothing that was reported as done.`,
    )
    .action((options: Options) => run(context, options))
}

async function run({ paths, env, clock, signal, terminal }: Context, options: Options): Promise<void> {
  const { explainConfig, loadConfig } = await import('../../config.ts')
  const sources = { file: paths.configFile, env, flags: { ...options } }
  const config = await loadConfig(sources)
  // A fault in the settings is told before half a second of loading.
  const { runDaemon } = await import('../../daemon.ts')
  await runDaemon(
    {
      paths,
      config,
      settings: await explainConfig(sources),
      clock,
      env,
      stderr: { stream: terminal.err.stream, isTty: terminal.err.isTty },
    },
    {
      signal,
      onReady: (line) => terminal.print(`${line}\n`),
    },
  )
}
