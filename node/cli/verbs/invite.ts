/**
 * `invite`: an admin's record, and a token that carries its secret. The token is printed once and kept nowhere.
 * Without a sub-verb it creates one.
 */
import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { checkSegment } from '../../../src/base/names.ts'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { SelfDocument } from '../../api/answers.ts'
import type { InviteDocument, MemberDocument } from '../../api/schema/member-answers.ts'
import type { Context } from '../context.ts'
import { formatTime, parseDuration } from '../quantity.ts'
import { formatTable } from '../table.ts'

interface Options {
  readonly site: string
  readonly region: string
  readonly expires: string
  readonly address: readonly string[]
}

export function define(command: Command, context: Context): void {
  command
    .command('create', { isDefault: true })
    .description('make a token with which one new site may join (the default)')
    .requiredOption('--site <SITE>', 'the name of the new site')
    .requiredOption('--region <REGION>', 'its region: sites that are near each other')
    .option('--expires <TIME>', 'how long the token can be used (30m, 24h, 7d)', '24h')
    .option(
      '--address <HOST:PORT>',
      'where the new node reaches this one, when that differs from what is announced',
      collect,
      [],
    )
    .addHelpText(
      'after',
      '\nOnly the token goes to stdout. It admits one node, once: hand it over as you would a password.',
    )
    .action((options: Options) => invite(context, options))
  command
    .command('revoke')
    .description('take an open invite back: its token admits nobody any more (signed by an admin)')
    .argument('<SITE>', 'the site that it is for, or the beginning of its id as invite list --json has it')
    .option('--json', 'print the invite as JSON')
    .action((name: string, options: { json?: boolean }) => revoke(context, name, options))
  command
    .command('list')
    .description('list the invites, newest first: open, used, expired and withdrawn')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => list(context, options))
}

async function revoke(context: Context, name: string, { json }: { json?: boolean }): Promise<void> {
  const { api, signal, terminal, self } = context
  const [{ loadAdminKey, signAndSubmit }, { parseCid }] = await Promise.all([
    import('../sign.ts'),
    import('../../../src/block/cid.ts'),
  ])
  const admin = await loadAdminKey(context)
  const { invites } = await api.get<{ invites: InviteDocument[] }>('/api/v1/invites', signal)
  const named = invites.filter(({ site, id }) => site === name || (name.length > 10 && id.startsWith(name)))
  const open = named.filter(({ state }) => state === 'open')
  const used = named.find(({ state }) => state === 'used')
  if (open.length === 0 && used !== undefined) {
    throw new MirrorError('conflict', `the invite of ${used.site} has been used`, {
      hint: `To throw that node out: ${self} member revoke ${used.site} --reason WHY`,
    })
  }
  if (open.length === 0) {
    throw new MirrorError('not-found', `there is no open invite for ${name}`, {
      hint: `See: ${self} invite list`,
    })
  }
  for (const { id } of open) await signAndSubmit(context, admin, 'withdrawal', { invite: parseCid(id) })
  await terminal.print(
    json === true
      ? `${JSON.stringify({ invites: open.map((each) => ({ ...each, state: 'withdrawn' })) }, null, 2)}\n`
      : open.map(({ site }) => `${site}: the invite admits nobody any more\n`).join(''),
  )
}

async function list({ api, signal, terminal }: Context, { json }: { json?: boolean }): Promise<void> {
  const [{ invites }, { members }] = await Promise.all([
    api.get<{ invites: InviteDocument[] }>('/api/v1/invites', signal),
    api.get<{ members: MemberDocument[] }>('/api/v1/members', signal),
  ])
  if (json === true) {
    await terminal.print(`${JSON.stringify({ invites }, null, 2)}\n`)
    return
  }
  const siteOf = (peer: string): string => members.find((each) => each.peer === peer)?.site ?? peer
  await terminal.print(
    formatTable(
      [
        { title: 'SITE' },
        { title: 'REGION' },
        { title: 'STATE' },
        { title: 'UNTIL' },
        { title: 'THROUGH' },
        { title: 'MADE' },
      ],
      invites.map((each) => [
        each.site,
        each.region,
        each.state,
        formatTime(each.expiresMs),
        siteOf(each.admitter),
        formatTime(each.timeMs),
      ]),
    ),
  )
}

async function invite(context: Context, options: Options): Promise<void> {
  const { api, clock, signal, terminal } = context
  const site = checkSegment(options.site, 'a site')
  const region = checkSegment(options.region, 'a region')
  const lifeMs = parseDuration(options.expires)
  if (lifeMs === undefined || lifeMs === 0) {
    throw new MirrorError(
      'invalid',
      `--expires is a time like 30m, 24h or 7d, not ${JSON.stringify(options.expires)}`,
    )
  }
  const [
    { loadAdminKey, signAndSubmit },
    { encodeInviteToken, inviteSecretHash },
    { publicKeyOf },
    { parseCid },
  ] = await Promise.all([
    import('../sign.ts'),
    import('../../../src/record/invite-token.ts'),
    import('../../../src/record/key.ts'),
    import('../../../src/block/cid.ts'),
  ])
  const admin = await loadAdminKey(context)
  const [self, status] = await Promise.all([
    api.get<SelfDocument>('/api/v1/self', signal),
    api.get<StatusDocument>('/api/v1/status', signal),
  ])
  const taken = status.sites.find((each) => each.site === site)
  if (taken !== undefined) {
    throw new MirrorError('conflict', `there is a site ${site} already: its node is ${taken.peer}`, {
      hint: 'A site has one node. Choose another name.',
    })
  }
  // A newcomer cannot come through a relay: that lets members through only.
  const direct = self.addresses.filter((address) => !address.includes('/p2p-circuit'))
  const addrs = options.address.length > 0 ? options.address : direct
  if (addrs.length === 0) {
    throw new MirrorError('invalid', 'this node listens nowhere, so nobody can join through it', {
      hint: 'Set `listen` in its config file, or name an address with --address.',
    })
  }
  const secret = new Uint8Array(randomBytes(32))
  const expiresMs = clock.nowMs() + lifeMs
  const admitter = publicKeyOf(self.peer)
  const id = await signAndSubmit(context, admin, 'invite', {
    admitter,
    secretHash: inviteSecretHash(secret),
    site,
    region,
    roles: ['site'],
    expiresMs,
  })
  const token = encodeInviteToken({
    mesh: parseCid(self.mesh.id),
    peer: admitter,
    addrs,
    secret,
    invite: id,
    site,
    region,
    expiresMs,
  })
  await terminal.print(`${token}\n`)
  terminal.say(
    `for one node, as ${site} in ${region}, until ${formatTime(expiresMs)}. There: mirrormesh join TOKEN`,
  )
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}
