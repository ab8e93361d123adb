/** `grant`: what admins lend to other keys: pins, tags and drains to operators, trees to publishers, reading to readers. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { isTreePattern } from '../../../src/base/names.ts'
import {
  GRANT_ROLES,
  type GrantRole,
  OPERATOR_RIGHTS,
  type OperatorRight,
} from '../../../src/record/kinds/grant.ts'
import type { ChainDocument } from '../../api/answers.ts'
import type { GrantDocument } from '../../api/routes/grant-routes.ts'
import type { AdminsDocument } from '../../api/schema/member-answers.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'
import { findPublisher } from '../find-publisher.ts'
import { formatTime, parseDuration } from '../quantity.ts'
import { formatTable, shortIds } from '../table.ts'

interface AddOptions {
  readonly role: string
  readonly tree: readonly string[]
  readonly may: readonly string[]
  readonly name?: string
  readonly expires?: string
  readonly json?: boolean
}

interface RevokeOptions {
  readonly role?: string
  readonly name?: string
  readonly discardAll?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .command('list')
    .description('list what is granted to whom')
    .option('--all', 'those that are expired or were taken back too')
    .option('--json', 'print them as JSON, all of them')
    .action((options: { all?: boolean; json?: boolean }) => list(context, options))
  command
    .command('add')
    .description('give a key a right, or change one that it has (signed by an admin)')
    .argument('<WHO>', 'a site, whose node it is for, or the PeerId of any key')
    .requiredOption('--role <ROLE>', `${GRANT_ROLES.join(', ')}: see below`)
    .option('--tree <PATTERN>', 'of these trees: logs/*, builds/**; may be repeated', collect, [])
    .option('--may <RIGHT>', `of an operator: ${OPERATOR_RIGHTS.join(', ')}; may be repeated`, collect, [])
    .option('--name <TEXT>', 'what people call it; the site or PeerId when left out')
    .option('--expires <TIME>', 'for so long (8h, 90d); without end when left out')
    .option('--json', 'print the grant as JSON')
    .addHelpText(
      'after',
      `
operator   its pins and tags of these trees, and its drains of any site, count as an admin's would
publisher  may create trees of these names and publish them, and nobody else's
reader     may read the private trees among these

What was done by a grant stays when the grant is changed or expires.`,
    )
    .action((who: string, options: AddOptions) => add(context, who, options))
  command
    .command('revoke')
    .description('take grants of a key back (signed by an admin)')
    .argument('<WHO>', 'a site, or the PeerId of a key')
    .option('--role <ROLE>', 'only of this role')
    .option('--name <TEXT>', 'only the one that is called so')
    .option(
      '--discard-all',
      'what the key did by them does not count any more either: its pins, its tags, trees that it created; else that stays',
    )
    .option('--yes', 'do not ask')
    .option('--json', 'print what was taken back as JSON')
    .action((who: string, options: RevokeOptions) => revoke(context, who, options))
}

/** As one line of `member show`. */
export function describeGrant({
  role,
  trees,
  may,
  expiresMs,
  name,
}: Pick<GrantDocument, 'expiresMs' | 'may' | 'name' | 'role' | 'trees'>): string {
  const rights = may.length === 0 ? '' : ` for ${may.join(', ')}`
  const until = expiresMs === null ? '' : ` until ${formatTime(expiresMs)}`
  return `${role} of ${trees.join(', ')}${rights}${until} (${name})`
}

export async function readGrants({
  api,
  signal,
}: Pick<Context, 'api' | 'signal'>): Promise<readonly GrantDocument[]> {
  return (await api.get<{ grants: GrantDocument[] }>('/api/v1/grants', signal)).grants
}

async function list(context: Context, { all, json }: { all?: boolean; json?: boolean }): Promise<void> {
  const grants = await readGrants(context)
  if (json === true) {
    await context.terminal.print(`${JSON.stringify({ grants }, null, 2)}\n`)
    return
  }
  const shown = grants.filter(({ state }) => all === true || state === 'active')
  const short = shortIds(
    shown.map(({ peer }) => peer),
    '12D3KooW'.length,
  )
  await context.terminal.print(
    formatTable(
      [
        { title: 'NAME' },
        { title: 'ROLE' },
        { title: 'TREES' },
        { title: 'MAY' },
        { title: 'STATE' },
        { title: 'UNTIL' },
        { title: 'SITE' },
        { title: 'KEY' },
      ],
      shown.map((grant) => [
        grant.name,
        grant.role,
        grant.trees.join(' '),
        grant.may.join(' ') || '-',
        grant.state,
        grant.expiresMs === null ? '-' : formatTime(grant.expiresMs),
        grant.site ?? '-',
        short(grant.peer),
      ]),
    ),
  )
}

async function add(context: Context, who: string, options: AddOptions): Promise<void> {
  const { clock, terminal, api, signal } = context
  const role = roleOf(options.role)
  const lifeMs = options.expires === undefined ? undefined : parseDuration(options.expires)
  if (options.expires !== undefined && (lifeMs === undefined || lifeMs === 0)) {
    throw new MirrorError(
      'invalid',
      `--expires is a time like 8h or 90d, not ${JSON.stringify(options.expires)}`,
    )
  }
  const trees = checkTrees(options.tree)
  const may = checkRights(role, options.may)
  const { peer, site } = await findPublisher(context, who)
  const admins = await api.get<AdminsDocument>('/api/v1/admins', signal)
  if (admins.keys.includes(peer)) throw new MirrorError('conflict', `${who} is an admin, who needs no grant`)
  const grant = {
    peer,
    role,
    name: options.name ?? site ?? peer,
    trees,
    may,
    expiresMs: lifeMs === undefined ? null : clock.nowMs() + lifeMs,
  }
  const record = await signGrant(context, grant)
  await terminal.print(
    options.json === true
      ? `${JSON.stringify({ ...grant, site: site ?? null, record }, null, 2)}\n`
      : `${site ?? peer}: ${describeGrant(grant)}\n`,
  )
}

async function revoke(context: Context, who: string, options: RevokeOptions): Promise<void> {
  const role = options.role === undefined ? undefined : roleOf(options.role)
  const { peer, site } = await findPublisher(context, who)
  const found = (await readGrants(context)).filter(
    (grant) =>
      grant.peer === peer &&
      grant.state !== 'removed' &&
      (role === undefined || grant.role === role) &&
      (options.name === undefined || grant.name === options.name),
  )
  if (found.length === 0) {
    throw new MirrorError('not-found', `${site ?? peer} has no such grant`, {
      hint: `See: ${context.self} grant list --all`,
    })
  }
  for (const grant of found) context.terminal.say(`${grant.name}: ${grant.role} of ${grant.trees.join(', ')}`)
  context.terminal.say(
    options.discardAll === true
      ? 'What the key did by them does not count any more: pins are lifted, tags go, trees that it created disappear.'
      : 'What the key did by them until now stays.',
  )
  await confirm(context, 'Take them back?', options.yes === true)
  for (const grant of found)
    await signGrant(context, { ...grant, isRemoved: true, isDiscarding: options.discardAll === true })
  await context.terminal.print(
    options.json === true
      ? `${JSON.stringify({ grants: found.map((grant) => ({ ...grant, state: 'removed' })) }, null, 2)}\n`
      : found.map(({ name, role: of }) => `${name}: ${of} no more\n`).join(''),
  )
}

/** Signs the next version of a grant. Returns the record's CID. */
export async function signGrant(
  context: Context,
  of: Pick<GrantDocument, 'peer' | 'role' | 'name' | 'trees' | 'may' | 'expiresMs'> & {
    readonly isRemoved?: boolean
    /** What the key signed before is judged by this version too. */
    readonly isDiscarding?: boolean
  },
): Promise<string> {
  const [{ loadAdminKey, signAndSubmit }, { publicKeyOf }, { parseCid }] = await Promise.all([
    import('../sign.ts'),
    import('../../../src/record/key.ts'),
    import('../../../src/block/cid.ts'),
  ])
  const admin = await loadAdminKey(context)
  const { peer, role, name } = of
  const before = (await readGrants(context)).find(
    (each) => each.peer === peer && each.role === role && each.name === name,
  )
  // From now on: what the key signed before, in vain perhaps, is not to count by this.
  const chain = await context.api.get<ChainDocument>(`/api/v1/chain/${peer}`, context.signal)
  const from = of.isDiscarding === true ? { counter: 0, prev: null } : chain
  const id = await signAndSubmit(context, admin, 'grant', {
    grants: [publicKeyOf(peer)],
    name,
    role,
    trees: of.trees,
    may: of.may,
    expiresMs: of.expiresMs,
    counter: from.counter,
    last: from.prev === null ? null : parseCid(from.prev),
    version: (before?.version ?? 0) + 1,
    removed: of.isRemoved === true,
  })
  return id.toString()
}

function roleOf(text: string): GrantRole {
  const role = GRANT_ROLES.find((each) => each === text)
  if (role !== undefined) return role
  throw new MirrorError('invalid', `--role is one of ${GRANT_ROLES.join(', ')}, not ${JSON.stringify(text)}`)
}

function checkTrees(trees: readonly string[]): string[] {
  if (trees.length === 0)
    throw new MirrorError('invalid', 'name the trees: --tree PATTERN, or --tree "**" for all')
  for (const tree of trees)
    if (!isTreePattern(tree))
      throw new MirrorError('invalid', `not a tree or pattern: ${JSON.stringify(tree)}`)
  return [...new Set(trees)].toSorted()
}

function checkRights(role: GrantRole, texts: readonly string[]): OperatorRight[] {
  if (role !== 'operator' && texts.length > 0)
    throw new MirrorError('invalid', `--may is for an operator, not for a ${role}`)
  if (role === 'operator' && texts.length === 0)
    throw new MirrorError('invalid', `say what the operator may do: --may ${OPERATOR_RIGHTS.join(' --may ')}`)
  const unknown = texts.find((text) => !OPERATOR_RIGHTS.some((right) => right === text))
  if (unknown !== undefined)
    throw new MirrorError(
      'invalid',
      `--may is one of ${OPERATOR_RIGHTS.join(', ')}, not ${JSON.stringify(unknown)}`,
    )
  return OPERATOR_RIGHTS.filter((right) => texts.includes(right))
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}
