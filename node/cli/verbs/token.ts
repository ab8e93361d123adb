/**
 * `token`: what clients show to this node: at the gateway to read private trees, at the API to use it over the network.
 * Printed once; the node keeps a digest.
 */
import type { Command } from 'commander'
import { printableName, utf8 } from '../../../src/base/bytes.ts'
import { MirrorError } from '../../../src/base/errors.ts'
import { isTreePattern } from '../../../src/base/names.ts'
import type { Token } from '../../tokens.ts'
import { type Context, oneOf } from '../context.ts'
import { formatTime, parseDuration } from '../quantity.ts'
import { formatTable } from '../table.ts'

interface Options {
  readonly tree: readonly string[]
  readonly scope?: string
  readonly expires: string
  readonly name?: string
  readonly json?: boolean
}

const SCOPES = ['read', 'operate', 'admin'] as const

export function define(command: Command, context: Context): void {
  command
    .command('create')
    .description("make a token, for private trees at this node's gateway or for its API")
    .option(
      '--tree <PATTERN>',
      'for the gateway: trees that it opens (logs/brq, secret/**); may be given several times',
      collect,
      [],
    )
    .option('--scope <SCOPE>', `for the API: ${SCOPES.join(', ')}`)
    .option('--expires <TIME>', 'how long it counts (24h, 90d), or never', '90d')
    .option('--name <TEXT>', 'what it is for, as token list shows it')
    .option('--json', 'print the token as JSON')
    .addHelpText(
      'after',
      `
Only the token goes to stdout. Clients of the gateway send it as a bearer, or as the password of any user:
  curl -H "Authorization: Bearer TOKEN" http://HOST:8080/TREE/
  machine HOST login any password TOKEN        (~/.netrc, /etc/apt/auth.conf.d/)`,
    )
    .action((options: Options) => create(context, options))
  command
    .command('list')
    .description('list the tokens of this node')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => list(context, options))
  command
    .command('revoke')
    .description('end a token at once')
    .argument('<ID>', 'its id, or the beginning of it, as token list shows it')
    .option('--json', 'print it as JSON')
    .action((id: string, options: { json?: boolean }) => revoke(context, id, options))
}

async function create(context: Context, options: Options): Promise<void> {
  const { api, clock, signal, terminal } = context
  const trees = [...new Set(options.tree)].toSorted()
  if (trees.length > 0 === (options.scope !== undefined)) {
    throw new MirrorError('invalid', 'say what the token is for: --tree PATTERN or --scope SCOPE', {
      hint: `See: ${context.self} token create --help`,
    })
  }
  const bad = trees.find((pattern) => !isTreePattern(pattern))
  if (bad !== undefined)
    throw new MirrorError('invalid', `--tree is a tree's name or pattern, not ${JSON.stringify(bad)}`)
  const use =
    options.scope === undefined
      ? { kind: 'gateway', trees }
      : { kind: 'api', scope: oneOf('--scope', options.scope, SCOPES) }
  const lifeMs = lifeOf(options.expires)
  const made = await api.post<{ text: string; token: Token }>(
    '/api/v1/tokens',
    {
      ...use,
      name: options.name ?? options.scope ?? trees.join(' ').slice(0, 100),
      expiresMs: lifeMs === null ? null : clock.nowMs() + lifeMs,
    },
    signal,
  )
  if (options.json === true) {
    await terminal.print(`${JSON.stringify(made, null, 2)}\n`)
    return
  }
  await terminal.print(`${made.text}\n`)
  terminal.say(`${made.token.id}: ${useOf(made.token)}, until ${untilOf(made.token)}`)
}

function lifeOf(text: string): number | null {
  if (text === 'never') return null
  const lifeMs = parseDuration(text)
  if (lifeMs !== undefined && lifeMs > 0) return lifeMs
  throw new MirrorError(
    'invalid',
    `--expires is a time like 24h or 90d, or never, not ${JSON.stringify(text)}`,
  )
}

async function list({ api, clock, signal, terminal }: Context, { json }: { json?: boolean }): Promise<void> {
  const { tokens } = await api.get<{ tokens: Token[] }>('/api/v1/tokens', signal)
  if (json === true) {
    await terminal.print(`${JSON.stringify({ tokens }, null, 2)}\n`)
    return
  }
  const stateOf = ({ expiresMs }: Token): string =>
    expiresMs !== null && clock.nowMs() >= expiresMs ? 'expired' : 'good'
  await terminal.print(
    formatTable(
      [{ title: 'ID' }, { title: 'FOR' }, { title: 'STATE' }, { title: 'UNTIL' }, { title: 'NAME' }],
      tokens.map((token) => [
        token.id,
        useOf(token),
        stateOf(token),
        untilOf(token),
        printableName(utf8(token.name)),
      ]),
    ),
  )
}

async function revoke(
  { api, signal, terminal, self }: Context,
  id: string,
  { json }: { json?: boolean },
): Promise<void> {
  const { tokens } = await api.get<{ tokens: Token[] }>('/api/v1/tokens', signal)
  const found = id.length < 4 ? [] : tokens.filter((token) => token.id.startsWith(id))
  const [token] = found
  if (token === undefined) {
    throw new MirrorError('not-found', `this node has no token ${JSON.stringify(id.slice(0, 64))}`, {
      hint: `See: ${self} token list`,
    })
  }
  if (found.length > 1)
    throw new MirrorError('conflict', `${found.length} tokens begin with ${id}: write more of the id`)
  await api.delete(`/api/v1/tokens/${token.id}`, signal)
  await terminal.print(
    json === true
      ? `${JSON.stringify({ ...token, isRevoked: true }, null, 2)}\n`
      : `${token.id}: counts no more\n`,
  )
}

function useOf(token: Token): string {
  return token.kind === 'gateway' ? `gateway ${token.trees.join(' ')}` : `api ${token.scope}`
}

function untilOf({ expiresMs }: Token): string {
  return expiresMs === null ? 'it is revoked' : formatTime(expiresMs)
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}
