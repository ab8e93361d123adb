/** `join`: makes this home a node of the mesh that the token is of; works without a daemon. */
import type { Command } from 'commander'
import type { Context } from '../context.ts'

interface Options {
  readonly listen?: string
  readonly http?: string
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .argument('<TOKEN>', 'what `mirrormesh invite` printed; - reads it from stdin')
    .option('--listen <HOST:PORT>', 'where other nodes connect; kept in the config file')
    .option('--http <HOST:PORT>', 'where the gateway answers, or off; kept in the config file')
    .option('--json', 'print what was joined as JSON')
    .action((token: string, options: Options) => join(context, token, options))
}

async function join(context: Context, token: string, options: Options): Promise<void> {
  const { paths, clock, env, terminal, signal, self } = context
  const settings = {
    ...(options.listen === undefined ? {} : { listen: options.listen }),
    ...(options.http === undefined ? {} : { http: options.http }),
  }
  const [{ joinMesh }, { loadConfig }] = await Promise.all([
    import('../../join-mesh.ts'),
    import('../../config.ts'),
  ])
  // A setting that the daemon would refuse must not be written.
  await loadConfig({ file: paths.configFile, env, flags: settings })
  const text = token === '-' ? await readToken() : token
  const joined = await joinMesh({ paths, clock }, { token: text.trim(), settings, signal })
  if (options.json === true) {
    await terminal.print(`${JSON.stringify(joined, null, 2)}\n`)
    return
  }
  await terminal.print(
    `joined mesh ${joined.mesh.name} as ${joined.site} in ${joined.region}\n` +
      `  mesh id  ${joined.mesh.id}\n` +
      `  node     ${joined.peer}\n`,
  )
  terminal.say(`Next: ${self} daemon`)
}

const MAX_TOKEN_CHARACTERS = 65_536

/** A token on the command line can be seen in the list of processes. */
async function readToken(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += chunk as string
    if (text.length > MAX_TOKEN_CHARACTERS) break
  }
  return text
}
