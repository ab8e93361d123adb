/** `member requests`, `member approve`, `member deny`: newcomers that asked without an invite. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { checkSegment } from '../../../src/base/names.ts'
import type { ChainDocument } from '../../api/answers.ts'
import type { RequestDocument } from '../../api/routes/request-routes.ts'
import type { MemberDocument } from '../../api/schema/member-answers.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'
import { formatTime } from '../quantity.ts'
import { formatTable } from '../table.ts'

interface ApproveOptions {
  readonly site?: string
  readonly region?: string
  readonly role: readonly string[]
  readonly yes?: boolean
  readonly json?: boolean
}

interface DenyOptions {
  readonly everywhere?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .command('requests')
    .description('list the newcomers that asked to join without an invite, at any site')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => list(context, options))
  command
    .command('approve')
    .description('let a newcomer in that asked without an invite (signed by an admin)')
    .argument('<CODE>', 'the code that the newcomer shows, or its PeerId')
    .option('--site <SITE>', 'the name of the new site; as it wishes when left out')
    .option('--region <REGION>', 'its region; as it wishes when left out')
    .option('--role <ROLE>', 'what it is for; may be repeated', collect, [])
    .option('--yes', 'do not ask: the code was compared')
    .option('--json', 'print the new member as JSON')
    .addHelpText(
      'after',
      `
The code is the same at the newcomer and here only when nobody stands between them. It vouches as far as the member
that was asked is honest (VIA in member requests); where you would not trust that one, compare the PeerId.`,
    )
    .action((name: string, options: ApproveOptions) => approve(context, name, options))
  command
    .command('deny')
    .description('turn a newcomer down, at the site where it asked; its key is not listened to for an hour')
    .argument('<CODE>', 'its code, or its PeerId')
    .option(
      '--everywhere',
      'at whatever site this is: its key is never listened to again, by any member (signed by an admin)',
    )
    .option('--yes', 'do not ask')
    .option('--json', 'print its PeerId as JSON')
    .action((name: string, options: DenyOptions) => deny(context, name, options))
}

async function readRequests({ api, signal }: Context): Promise<readonly RequestDocument[]> {
  return (await api.get<{ requests: RequestDocument[] }>('/api/v1/requests', signal)).requests
}

async function list(context: Context, { json }: { json?: boolean }): Promise<void> {
  const requests = await readRequests(context)
  await context.terminal.print(
    json === true
      ? `${JSON.stringify({ requests }, null, 2)}\n`
      : formatTable(
          [
            { title: 'CODE' },
            { title: 'SITE' },
            { title: 'REGION' },
            { title: 'SINCE' },
            { title: 'FROM' },
            { title: 'VIA' },
            { title: 'PEER' },
          ],
          requests.map(({ code, site, region, sinceMs, address, viaSite, peer }) => [
            code,
            site ?? '-',
            region ?? '-',
            formatTime(sinceMs),
            address,
            viaSite,
            peer,
          ]),
        ),
  )
}

/** @throws MirrorError `conflict` when two newcomers have one code: somebody may be trying to be taken for the other */
async function find(context: Context, name: string): Promise<RequestDocument> {
  const code = /^\d{8}$/.test(name) ? `${name.slice(0, 4)}-${name.slice(4)}` : name
  const found = (await readRequests(context)).filter((each) => each.peer === name || each.code === code)
  const [first] = found
  if (first === undefined) {
    throw new MirrorError('not-found', `no newcomer with ${name} has asked`, {
      hint: `See: ${context.self} member requests. A request is told of everywhere within seconds.`,
    })
  }
  if (found.some(({ peer }) => peer !== first.peer)) {
    throw new MirrorError('conflict', `more than one newcomer has the code ${name}`, {
      hint: `Compare the PeerIds: ${found.map(({ peer, viaSite }) => `${peer} (asked at ${viaSite})`).join(', ')}`,
    })
  }
  return first
}

async function approve(context: Context, name: string, options: ApproveOptions): Promise<void> {
  const { api, signal, terminal } = context
  const [{ loadAdminKey, signAndSubmit }, { publicKeyOf }] = await Promise.all([
    import('../sign.ts'),
    import('../../../src/record/key.ts'),
  ])
  const admin = await loadAdminKey(context)
  const request = await find(context, name)
  const { peer, code, viaSite, address } = request
  const site = named(options.site ?? request.site, 'site')
  const region = named(options.region ?? request.region, 'region')
  const roles = options.role.length === 0 ? ['site'] : [...new Set(options.role)].toSorted()
  for (const role of roles) checkSegment(role, 'a role')
  const { members } = await api.get<{ members: MemberDocument[] }>('/api/v1/members', signal)
  const taken = members.find((each) => each.site === site && each.state !== 'revoked' && each.peer !== peer)
  if (taken !== undefined) {
    throw new MirrorError('conflict', `there is a site ${site} already: its node is ${taken.peer}`, {
      hint: 'A site has one node. Choose another name with --site.',
    })
  }
  terminal.say(`${site} in ${region}: ${peer}, from ${address}, asked at ${viaSite}`)
  await confirm(context, `Does the newcomer show the code ${code}?`, options.yes === true)
  const before = members.find((each) => each.peer === peer)
  const id = await signAndSubmit(context, admin, 'member', {
    peer: publicKeyOf(peer),
    site,
    region,
    roles,
    invite: null,
    expiresMs: null,
    version: (before?.version ?? 0) + 1,
  })
  await terminal.print(
    options.json === true
      ? `${JSON.stringify({ peer, site, region, roles, record: id.toString() }, null, 2)}\n`
      : `${site} is a member: ${peer}\n`,
  )
}

function named(name: string | null, what: string): string {
  if (name !== null) return checkSegment(name, `a ${what}`)
  throw new MirrorError('invalid', `the newcomer wishes for no ${what}: name it with --${what}`)
}

async function deny(context: Context, name: string, { everywhere, yes, json }: DenyOptions): Promise<void> {
  const { peer, site, viaSite } = await find(context, name)
  if (everywhere === true) await endKey(context, peer, viaSite, yes === true)
  else await context.api.post(`/api/v1/requests/${peer}/deny`, {}, context.signal)
  await context.terminal.print(
    json === true
      ? `${JSON.stringify({ peer }, null, 2)}\n`
      : `${site ?? 'a newcomer'} turned down: ${peer}\n`,
  )
}

/** What a member's key ends with as well: no node lets it in again. What it has signed until now, as a publisher, stays. */
async function endKey(context: Context, peer: string, viaSite: string, isSure: boolean): Promise<void> {
  const [{ loadAdminKey, signAndSubmit }, { publicKeyOf }, { parseCid }] = await Promise.all([
    import('../sign.ts'),
    import('../../../src/record/key.ts'),
    import('../../../src/block/cid.ts'),
  ])
  const admin = await loadAdminKey(context)
  const { counter, prev } = await context.api.get<ChainDocument>(`/api/v1/chain/${peer}`, context.signal)
  context.terminal.say(`${peer} asked at ${viaSite}. Its machine can ask again only with another key.`)
  await confirm(context, 'End the key for good? This cannot be undone.', isSure)
  await signAndSubmit(context, admin, 'revocation', {
    key: publicKeyOf(peer),
    counter,
    last: prev === null ? null : parseCid(prev),
    reason: 'turned down when it asked to join',
  })
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}
