/** `token`: what clients of this node's gateway show to read private trees. Printed once; the node keeps a digest. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { isTreePattern } from '../../../src/base/names.ts'
import type { NewTokenDocument, TokenDocument } from '../../api/token-routes.ts'
import type { Context } from '../context.ts'
import { formatTime, parseDuration } from '../quantity.ts'
import { formatTable } from '../table.ts'

interface Options {
  readonly tree: readonly string[]
  readonly expires: string
  readonly label: string
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .command('create')
    .description('make a token with which private trees are read at the gateway of this node')
    .requiredOption(
      '--tree <PATTERN>',
      'a tree, or trees by pattern (logs/*, secret/**); may be given several times',
      collect,
      [],
    )
    .option('--expires <TIME>', 'how long it counts (24h, 90d)', '90d')
    .option('--label <TEXT>', 'what it is for, shown by token list', '')
    .option('--json', 'print the token as JSON')
    .addHelpText(
      'after',
      `
Only the token goes to stdout. Clients send it as a bearer, or as the password of any user:
  curl -H "Authorization: Bearer TOKEN" http://HOST:8080/TREE/
  machine HOST login any password TOKEN        (~/.netrc, /etc/apt/auth.conf.d/)
`,
    )
    .action((options: Options) => create(context, options))
  command
    .command('list')
    .description('list the tokens of this node, newest first')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => list(context, options))
  command
    .command('revoke')
    .description('end a token at once')
    .argument('<ID>', 'its id, or the beginning of it, as token list shows it')
    .option('--json', 'print it as JSON')
    .action((id: string, options: { json?: boolean }) => revoke(context, id, options))
}

async function create({ api, clock, signal, terminal }: Context, options: Options): Promise<void> {
  for (const pattern of options.tree) {
    if (isTreePattern(pattern)) continue
    throw new MirrorError('invalid', `--tree is a tree's name or pattern, not ${JSON.stringify(pattern)}`)
  }
  const lifeMs = parseDuration(options.expires)
  if (lifeMs === undefined || lifeMs === 0) {
    throw new MirrorError(
      'invalid',
      `--expires is a time like 24h or 90d, not ${JSON.stringify(options.expires)}`,
    )
  }
  const made = await api.post<NewTokenDocument>(
    '/api/v1/tokens',
    {
      use: { kind: 'gateway', trees: [...new Set(options.tree)].toSorted() },
      label: options.label,
      expiresMs: clock.nowMs() + lifeMs,
    },
    signal,
  )
  if (options.json === true) {
    await terminal.print(`${JSON.stringify(made, null, 2)}\n`)
    return
  }
  await terminal.print(`${made.token}\n`)
  terminal.say(
    `${made.id}: reads ${options.tree.join(', ')} at the gateway of this node, until ${formatTime(made.expiresMs)}`,
  )
}

async function list({ api, signal, terminal }: Context, { json }: { json?: boolean }): Promise<void> {
  const { tokens } = await api.get<{ tokens: TokenDocument[] }>('/api/v1/tokens', signal)
  if (json === true) {
    await terminal.print(`${JSON.stringify({ tokens }, null, 2)}\n`)
    return
  }
  await terminal.print(
    formatTable(
      [{ title: 'ID' }, { title: 'FOR' }, { title: 'STATE' }, { title: 'UNTIL' }, { title: 'LABEL' }],
      tokens.map(({ id, use, isExpired, expiresMs, label }) => [
        id,
        use.kind === 'gateway' ? `gateway ${use.trees.join(' ')}` : `api ${use.scope}`,
        isExpired ? 'expired' : 'good',
        formatTime(expiresMs),
        label,
      ]),
    ),
  )
}

async function revoke(
  { api, signal, terminal }: Context,
  id: string,
  { json }: { json?: boolean },
): Promise<void> {
  const { tokens } = await api.get<{ tokens: TokenDocument[] }>('/api/v1/tokens', signal)
  await api.delete(`/api/v1/tokens/${encodeURIComponent(id)}`, signal)
  const gone = tokens.find((token) => token.id.startsWith(id))
  await terminal.print(
    json === true
      ? `${JSON.stringify({ id: gone?.id ?? id, isRevoked: true }, null, 2)}\n`
      : `${gone?.id ?? id}: counts no more\n`,
  )
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}
