/** `join`: makes this home a node of a mesh, with a token or by asking a member; works without a daemon. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { checkSegment } from '../../../src/base/names.ts'
import type { JoinedMesh } from '../../join-mesh.ts'
import type { Context } from '../context.ts'
import { parseDuration } from '../quantity.ts'

interface Options {
  readonly request?: string
  readonly mesh?: string
  readonly site?: string
  readonly region?: string
  readonly timeout?: string
  readonly listen?: string
  readonly http?: string
  readonly json?: boolean
}

type Settings = Pick<Options, 'http' | 'listen'>

export function define(command: Command, context: Context): void {
  command
    .argument('[TOKEN]', 'what `mirrormesh invite` printed; - reads it from stdin')
    .option(
      '--request <HOST:PORT>',
      'without a token: ask the member there, show a code, and wait for an admin',
    )
    .option('--mesh <ID>', 'with --request: the id of the mesh, as mirrormesh status prints it there')
    .option('--site <SITE>', 'with --request: the name that this site would like; the admin decides')
    .option('--region <REGION>', 'with --request: the region that it would like')
    .option('--timeout <TIME>', 'with --request: give up after so long (10m, 8h); exit 124')
    .option('--listen <HOST:PORT>', 'where other nodes connect; kept in the config file')
    .option('--http <HOST:PORT>', 'where the gateway answers, or off; kept in the config file')
    .option('--json', 'print what was joined as JSON')
    .addHelpText(
      'after',
      `
With --request nothing secret has to be carried here. Read the code to an admin, who lets this machine in with
"mirrormesh member approve CODE" at any node. It learns of it by itself.`,
    )
    .action((token: string | undefined, options: Options) => join(context, token, options))
}

async function join(context: Context, token: string | undefined, options: Options): Promise<void> {
  const { paths, env, terminal, self } = context
  const settings = {
    ...(options.listen === undefined ? {} : { listen: options.listen }),
    ...(options.http === undefined ? {} : { http: options.http }),
  }
  checkUsage(token, options)
  const { loadConfig } = await import('../../config.ts')
  // A setting that the daemon would refuse must not be written.
  await loadConfig({ file: paths.configFile, env, flags: settings })
  const joined =
    token === undefined ? await ask(context, options, settings) : await redeem(context, token, settings)
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

function checkUsage(token: string | undefined, { request, mesh, site, region, timeout }: Options): void {
  if ((token === undefined) === (request === undefined)) {
    throw new MirrorError('invalid', 'join takes a token, or --request HOST:PORT --mesh ID')
  }
  if (request === undefined && [mesh, site, region, timeout].some((each) => each !== undefined))
    throw new MirrorError('invalid', '--mesh, --site, --region and --timeout go with --request')
  if (request !== undefined && mesh === undefined) {
    throw new MirrorError('invalid', 'say which mesh: --mesh ID, so that no other can pass for it', {
      hint: 'An admin finds the id with: mirrormesh status --json',
    })
  }
}

async function redeem(
  { paths, clock, signal }: Context,
  token: string,
  settings: Settings,
): Promise<JoinedMesh> {
  const { joinMesh } = await import('../../join-mesh.ts')
  const text = token === '-' ? await readToken() : token
  return joinMesh({ paths, clock }, { token: text.trim(), settings, signal })
}

async function ask(context: Context, options: Options, settings: Settings): Promise<JoinedMesh> {
  const { paths, clock, signal, terminal } = context
  const { site, region, timeout } = options
  const timeoutMs = timeout === undefined ? undefined : parseDuration(timeout)
  if (timeout !== undefined && (timeoutMs === undefined || timeoutMs === 0))
    throw new MirrorError('invalid', `--timeout is a time like 10m or 8h, not ${JSON.stringify(timeout)}`)
  const [{ requestToJoin }, { hostPortToAddress }, { parseCid }] = await Promise.all([
    import('../../request-to-join.ts'),
    import('../../../src/net/address.ts'),
    import('../../../src/block/cid.ts'),
  ])
  hostPortToAddress(options.request!)
  const deadline = new AbortController()
  const cancel =
    timeoutMs === undefined
      ? () => undefined
      : clock.after(timeoutMs, () =>
          deadline.abort(
            new MirrorError('timed-out', `no admin has let this machine in within ${timeout}`, {
              hint: 'Run it again: it asks with the same key.',
            }),
          ),
        )
  try {
    return await requestToJoin(
      { paths, clock },
      {
        address: options.request!,
        mesh: parseMesh(options.mesh!, parseCid),
        wish: {
          ...(site === undefined ? {} : { site: checkSegment(site, 'a site') }),
          ...(region === undefined ? {} : { region: checkSegment(region, 'a region') }),
        },
        settings,
        signal: AbortSignal.any([signal, deadline.signal]),
        onCode(code, keys) {
          terminal.say(`code ${code}`)
          terminal.say(`this machine is ${keys.self}, and asked ${keys.member}`)
          // Not with the home of this machine: it is typed elsewhere.
          terminal.say(`An admin lets it in with: mirrormesh member approve ${code}`)
        },
        onTrouble: (error) => terminal.say(`mirrormesh: note: ${error.message}; asking again`),
      },
    )
  } finally {
    cancel()
  }
}

function parseMesh<T>(text: string, parse: (text: string) => T): T {
  try {
    return parse(text)
  } catch (error) {
    throw new MirrorError('invalid', `--mesh is the id of a mesh, not ${JSON.stringify(text.slice(0, 80))}`, {
      cause: error,
    })
  }
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
