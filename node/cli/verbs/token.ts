/** `token`: who may use the API over TCP and the console, or read private trees by HTTP. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { Token } from '../../tokens.ts'
import { type Context, oneOf } from '../context.ts'
import { formatTime, parseDuration } from '../quantity.ts'
import { formatTable } from '../table.ts'

interface CreateOptions {
  readonly name: string
  readonly scope?: string
  readonly tree: readonly string[]
  readonly expires: string
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .command('create')
    .description(
      'make a token: for the API and the console with --scope, for private trees by HTTP with --tree',
    )
    .requiredOption('--name <NAME>', 'whose it is, or what for')
    .option('--scope <SCOPE>', 'read, operate (pins, waits, checks) or admin (all that this node can do)')
    .option(
      '--tree <PATTERN>',
      'a tree or pattern that it opens at the gateway; may be given again',
      collect,
      [],
    )
    .option('--expires <TIME>', 'how long it can be used (30m, 24h, 90d), or never', '90d')
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      '\nOnly the token goes to stdout, this once: this node keeps its digest. Hand it over as you would a password.',
    )
    .action((options: CreateOptions) => create(context, options))
  command
    .command('list')
    .description('list the tokens of this node: what each may do, and until when')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => list(context, options))
  command
    .command('revoke')
    .description('end a token, and the sessions that were opened with it')
    .argument('<ID>', 'its id or its name, as `token list` shows them')
    .option('--json', 'print it as JSON')
    .action((name: string, options: { json?: boolean }) => revoke(context, name, options))
}

async function create({ api, clock, signal, terminal }: Context, options: CreateOptions): Promise<void> {
  const { name, scope, tree: trees, expires, json } = options
  const lifeMs = expires === 'never' ? null : parseDuration(expires)
  if (lifeMs === undefined || lifeMs === 0) {
    throw new MirrorError(
      'invalid',
      `--expires is a time like 24h or 90d, or never, not ${JSON.stringify(expires)}`,
    )
  }
  if ((scope === undefined) === (trees.length === 0)) {
    throw new MirrorError('invalid', 'a token has either --scope or --tree', {
      hint: 'A scope opens the API and the console, trees are read at the gateway.',
    })
  }
  const common = { name, expiresMs: lifeMs === null ? null : clock.nowMs() + lifeMs }
  const wanted =
    scope === undefined
      ? { ...common, kind: 'gateway', trees }
      : { ...common, kind: 'api', scope: oneOf('--scope', scope, ['read', 'operate', 'admin']) }
  const made = await api.post<{ text: string; token: Token }>('/api/v1/tokens', wanted, signal)
  await terminal.print(json === true ? `${JSON.stringify(made, null, 2)}\n` : `${made.text}\n`)
  if (json === true) return
  const until =
    made.token.expiresMs === null ? 'until it is revoked' : `until ${formatTime(made.token.expiresMs)}`
  terminal.say(`${made.token.id}: ${rightOf(made.token)}, ${until}`)
}

async function readTokens({ api, signal }: Context): Promise<readonly Token[]> {
  return (await api.get<{ tokens: Token[] }>('/api/v1/tokens', signal)).tokens
}

async function list(context: Context, { json }: { json?: boolean }): Promise<void> {
  const { terminal, clock } = context
  const tokens = await readTokens(context)
  if (json === true) {
    await terminal.print(`${JSON.stringify({ tokens }, null, 2)}\n`)
    return
  }
  const endOf = ({ expiresMs }: Token): string =>
    expiresMs === null ? 'never' : `${formatTime(expiresMs)}${expiresMs <= clock.nowMs() ? ' (over)' : ''}`
  await terminal.print(
    formatTable(
      [{ title: 'ID' }, { title: 'NAME' }, { title: 'MAY' }, { title: 'MADE' }, { title: 'ENDS' }],
      tokens.map((each) => [each.id, each.name, rightOf(each), formatTime(each.createdMs), endOf(each)]),
    ),
  )
}

async function revoke(context: Context, name: string, { json }: { json?: boolean }): Promise<void> {
  const { api, signal, terminal, self } = context
  const named = (await readTokens(context)).filter((each) => each.id === name || each.name === name)
  const [found] = named
  if (found === undefined) {
    throw new MirrorError('not-found', `there is no token ${JSON.stringify(name)}`, {
      hint: `See: ${self} token list`,
    })
  }
  if (named.length > 1) {
    throw new MirrorError('conflict', `${named.length} tokens are called ${JSON.stringify(name)}`, {
      hint: `Name one by its id: ${named.map(({ id }) => id).join(', ')}`,
    })
  }
  await api.delete(`/api/v1/tokens/${found.id}`, signal)
  await terminal.print(
    json === true
      ? `${JSON.stringify({ revoked: found }, null, 2)}\n`
      : `${found.id} (${found.name}) opens nothing any more\n`,
  )
}

function rightOf(token: Token): string {
  return token.kind === 'api' ? `${token.scope} at the API` : `read ${token.trees.join(' ')}`
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}
