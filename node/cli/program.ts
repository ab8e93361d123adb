/** Parses the command line and runs one verb. Never ends the process: it returns the exit status. */
import { Command, CommanderError } from 'commander'
import { MirrorError } from '../../src/base/errors.ts'
import { type Context, createContext } from './context.ts'
import { EXIT, EXIT_HELP, type ExitStatus } from './exit-codes.ts'
import { reportFailure } from './failure.ts'
import type { Terminal } from './terminal.ts'
import { VERBS } from './verbs.ts'

export async function runProgram(
  args: readonly string[],
  terminal: Terminal,
  signal: AbortSignal,
): Promise<ExitStatus> {
  let status: ExitStatus = EXIT.ok
  try {
    const { home, rest } = takeHome(args)
    const context: Context = createContext(terminal, {
      home,
      signal,
      allVerbs: () => createProgram(context, () => true),
      exitWith(wanted) {
        status = wanted
      },
    })
    const program = await createProgram(context, (name) => isAskedFor(name, rest))
    if (rest.length === 0) {
      program.outputHelp({ error: true })
      return EXIT.usage
    }
    if (rest[0] === '--version' || rest[0] === '-V') {
      const { readVersion } = await import('../version.ts')
      await terminal.print(`${readVersion()}\n`)
      return EXIT.ok
    }
    await program.parseAsync(rest, { from: 'user' })
    return status
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    return reportFailure(terminal, error, signal.aborted)
  }
}

/**
 * The tree of commands, with the verbs for which `isWanted` loaded in full and the others by name only.
 */
async function createProgram(context: Context, isWanted: (verb: string) => boolean): Promise<Command> {
  const { terminal } = context
  const program = new Command('mirrormesh')
    .description(
      'Replicates file trees between the sites of one organisation, each byte over each link about once.',
    )
    .usage('[--home DIR] VERB ...')
    .option('-V, --version', 'print the version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void terminal.out.stream.write(text),
      writeErr: (text) => void terminal.err.stream.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'mirrormesh: ')),
    })
    .configureHelp({ showGlobalOptions: false })
    .helpCommand('help [VERB]', 'show the help of a verb')
    .addHelpText('afterAll', EXIT_HELP)
    .showHelpAfterError('See --help.')
  addHomeOption(program)
  for (const verb of VERBS) {
    const command = program.command(verb.name).summary(verb.summary).description(sentence(verb.summary))
    command.helpGroup(`${verb.group}:`)
    if (!isWanted(verb.name)) continue
    const module = await verb.load()
    module.define(command, context)
    for (const each of [command, ...command.commands]) {
      addHomeOption(each)
      const words = each === command ? verb.name : `${verb.name} ${each.name()}`
      each.showHelpAfterError(`See mirrormesh ${words} --help.`)
    }
  }
  return program
}

function sentence(summary: string): string {
  return `${summary[0]?.toUpperCase()}${summary.slice(1)}.`
}

/** For the help only: `takeHome` has read it before. */
function addHomeOption(command: Command): void {
  command.option('--home DIR', 'the folder that holds everything of this node')
}

function isAskedFor(name: string, rest: readonly string[]): boolean {
  const words = rest.filter((word) => !word.startsWith('-'))
  return words[0] === name || (words[0] === 'help' && words[1] === name)
}

/** `--home DIR` may stand anywhere before `--`, with every verb. */
function takeHome(args: readonly string[]): { home: string | undefined; rest: string[] } {
  const end = args.indexOf('--') < 0 ? args.length : args.indexOf('--')
  const rest: string[] = []
  let home: string | undefined
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!
    if (i < end && word === '--home') home = args[++i] ?? ''
    else if (i < end && word.startsWith('--home=')) home = word.slice(7)
    else rest.push(word)
  }
  if (home === '') throw new MirrorError('invalid', '--home needs a folder', { hint: 'See --help.' })
  return { home, rest }
}
