/** `member`: the nodes of the mesh, how one of them is thrown out, and how one comes in that has no invite. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { MemberDocument } from '../../api/schema/member-answers.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../quantity.ts'
import { formatTable, shortIds } from '../table.ts'
import { describeGrant, readGrants } from './grant.ts'
import { define as defineRequests } from './member-requests.ts'

interface RevokeOptions {
  readonly reason: string
  readonly discardAll?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  defineRequests(command, context)
  command
    .command('list')
    .description('list the members, those whose key was revoked included')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => list(context, options))
  command
    .command('show')
    .description('show one member, and what it may do')
    .argument('<SITE>', 'its site, or its PeerId')
    .option('--json', 'print it as JSON')
    .action((name: string, options: { json?: boolean }) => show(context, name, options))
  command
    .command('revoke')
    .description(
      'end the key of a member, for good: every node closes its connections and serves it nothing more (signed by an admin)',
    )
    .argument('<SITE>', 'its site, or a PeerId')
    .requiredOption('--reason <TEXT>', 'why; everybody sees it')
    .option(
      '--discard-all',
      'nothing that the key ever signed counts any more: heads, and nodes that it admitted; else what it signed until now stays',
    )
    .option('--yes', 'do not ask')
    .option('--json', 'print what was done as JSON')
    .action((name: string, options: RevokeOptions) => revoke(context, name, options))
}

async function readMembers({ api, signal }: Context): Promise<readonly MemberDocument[]> {
  return (await api.get<{ members: MemberDocument[] }>('/api/v1/members', signal)).members
}

/** By PeerId, or the member that is at the site now; of several that were, the newest. */
function find(members: readonly MemberDocument[], name: string): MemberDocument | undefined {
  return (
    members.find(({ peer }) => peer === name) ??
    members.find(({ site, state }) => site === name && state !== 'revoked') ??
    members.filter(({ site }) => site === name).toSorted((a, b) => b.timeMs - a.timeMs)[0]
  )
}

function unknown(name: string, { self }: Context): MirrorError {
  return new MirrorError('not-found', `there is no member ${name}`, { hint: `See: ${self} member list` })
}

async function list(context: Context, { json }: { json?: boolean }): Promise<void> {
  const members = await readMembers(context)
  if (json === true) {
    await context.terminal.print(`${JSON.stringify({ members }, null, 2)}\n`)
    return
  }
  const short = shortIds(
    members.map(({ peer }) => peer),
    '12D3KooW'.length,
  )
  await context.terminal.print(
    formatTable(
      [
        { title: 'SITE' },
        { title: 'REGION' },
        { title: 'STATE' },
        { title: 'ROLES' },
        { title: 'CONNECTED' },
        { title: 'SINCE' },
        { title: 'PEER' },
      ],
      members.map((member) => [
        member.site,
        member.region,
        member.state,
        member.roles.join(' '),
        member.isConnected ? 'yes' : 'no',
        formatTime(member.timeMs),
        short(member.peer),
      ]),
    ),
  )
}

async function show(context: Context, name: string, { json }: { json?: boolean }): Promise<void> {
  const members = await readMembers(context)
  const member = find(members, name)
  if (member === undefined) throw unknown(name, context)
  const grants = (await readGrants(context)).filter(
    ({ peer, state }) => peer === member.peer && state === 'active',
  )
  if (json === true) {
    await context.terminal.print(`${JSON.stringify({ ...member, grants }, null, 2)}\n`)
    return
  }
  const admitter = members.find(({ peer }) => peer === member.admittedBy)
  const lines = [
    `site       ${member.site} in ${member.region}`,
    `peer       ${member.peer}`,
    `state      ${member.state}${member.isConnected ? ', connected' : ''}`,
    `roles      ${member.roles.join(' ')}`,
    `since      ${formatTime(member.timeMs)}, admitted by ${admitter?.site ?? member.admittedBy}${member.invite === null ? '' : ' by an invite'}`,
    ...(member.expiresMs === null ? [] : [`until      ${formatTime(member.expiresMs)}`]),
    `publishes  ${member.publishes.join(' ') || 'nothing'}`,
    ...grants.map((grant) => `may        ${describeGrant(grant)}`),
    `records    ${member.chain.counter} signed`,
  ]
  await context.terminal.print(`${lines.join('\n')}\n`)
}

async function revoke(context: Context, name: string, options: RevokeOptions): Promise<void> {
  const { terminal } = context
  const [{ loadAdminKey, signAndSubmit }, { publicKeyOf }, { parseCid }] = await Promise.all([
    import('../sign.ts'),
    import('../../../src/record/key.ts'),
    import('../../../src/block/cid.ts'),
  ])
  const reason = options.reason.trim()
  if (reason.length === 0 || reason.length > 256)
    throw new MirrorError('invalid', '--reason is a text of 1 to 256 characters')
  const admin = await loadAdminKey(context)
  const member = find(await readMembers(context), name)
  if (member === undefined) throw unknown(name, context)
  if (member.state === 'revoked') {
    throw new MirrorError('conflict', `${name} is revoked already: its key is ${member.peer}`)
  }
  terminal.say(`${member.site} in ${member.region}, ${member.peer}`)
  for (const tree of member.publishes) {
    terminal.say(
      `It publishes ${tree}: nothing new can be published there until ${context.self} tree hand-over ${tree} --publisher SITE`,
    )
  }
  terminal.say(
    options.discardAll === true
      ? 'Nothing that it ever signed will count: its heads are taken back, and nodes that it admitted are members no more.'
      : `Its ${member.chain.counter} records until now still count.`,
  )
  await confirm(context, 'Revoke it? This cannot be undone.', options.yes === true)
  const { counter, last } = options.discardAll === true ? { counter: 0, last: null } : member.chain
  const id = await signAndSubmit(context, admin, 'revocation', {
    key: publicKeyOf(member.peer),
    counter,
    last: last === null ? null : parseCid(last),
    reason,
  })
  if (options.json === true) {
    const { peer, site } = member
    await terminal.print(
      `${JSON.stringify({ peer, site, reason, counter, record: id.toString() }, null, 2)}\n`,
    )
  } else await terminal.print(`${member.site} revoked: ${member.peer}\n`)
}
