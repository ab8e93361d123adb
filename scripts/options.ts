/** The command line of a script: --help prints its usage and ends it with 0, what it does not know ends it with 2 and a hint. */
import { type ParseArgsConfig, parseArgs } from 'node:util'

interface Usage {
  /** As users type it: `npm run bench --`. */
  readonly command: string
  readonly help: string
}

/** Does not return when a `help` is asked for. */
export function parseOptions<const T extends ParseArgsConfig>(
  config: T,
  { command, help }: Usage,
): ReturnType<typeof parseArgs<T>> {
  let parsed: ReturnType<typeof parseArgs<T>>
  try {
    parsed = parseArgs(config)
  } catch (error) {
    // The rest tells how to give a file of that name.
    refuse(command, (error as Error).message.split('. ')[0]!.replace(/\.$/, ''))
  }
  if ((parsed.values as { readonly help?: unknown }).help !== true) return parsed
  process.stdout.write(help)
  process.exit(0)
}

export function refuse(command: string, why: string): never {
  process.stderr.write(`${why}. Try: ${command} --help\n`)
  process.exit(2)
}
