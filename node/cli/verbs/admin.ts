/**
 * `admin`: the keys that speak for the mesh. A change of the set is proposed, signed by as many admins as the set before
 * asks for (or by the recovery key alone) wherever their keys are, and submitted at any node.
 */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { asMirrorError, MirrorError } from '../../../src/base/errors.ts'
import type { ChainDocument } from '../../api/answers.ts'
import { describeRecord } from '../../api/describe-record.ts'
import type { AdminsDocument } from '../../api/schema/member-answers.ts'
import type { Proposal } from '../../proposal.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'
import { define as defineKeys } from './admin-keys.ts'

interface ProposeOptions {
  readonly add: readonly string[]
  readonly remove: readonly string[]
  readonly threshold?: string
  readonly newRecovery?: string
  readonly cosigner: readonly string[]
  readonly key?: string
  readonly recovery?: string
  readonly out?: string
  readonly yes?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .command('list')
    .description('list the admins, how many must agree, and the recovery key')
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => list(context, options))
  defineKeys(command, context)
  command
    .command('propose')
    .description('change the admins: add and remove keys, set how many must agree')
    .option('--add <PEER>', 'the PeerId of a new admin; may be repeated', collect, [])
    .option('--remove <PEER>', 'an admin who leaves, for good; may be repeated', collect, [])
    .option('--threshold <N>', 'how many must agree to the next change')
    .option('--new-recovery <PEER>', 'another recovery key; only the recovery key can say so')
    .option('--cosigner <PEER>', 'another admin who will sign this; may be repeated', collect, [])
    .option('--key <FILE>', "sign with this admin's key instead of the one in this home")
    .option('--recovery <FILE>', 'sign with the recovery key: needs nobody else')
    .option('--out <FILE>', 'where the proposal goes when others must sign it, too', 'admin-set.proposal')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      '\nWith enough signatures it counts at once. Else the file goes to each cosigner, who runs: admin sign FILE',
    )
    .action((options: ProposeOptions) => propose(context, options))
  command
    .command('sign')
    .description('sign a proposal of another admin; when you are the last it counts from then on')
    .argument('<FILE>', 'the proposal')
    .option('--key <FILE>', 'the key of an admin, instead of the one in this home')
    .option('--yes', 'do not ask')
    .action((file: string, options: { key?: string; yes?: boolean }) => sign(context, file, options))
  command
    .command('submit')
    .description('bring a proposal that all have signed into the mesh, at any node')
    .argument('<FILE>', 'the proposal')
    .action((file: string) => submit(context, file))
}

async function readAdmins({ api, signal }: Context): Promise<AdminsDocument> {
  return api.get<AdminsDocument>('/api/v1/admins', signal)
}

async function list(context: Context, { json }: { json?: boolean }): Promise<void> {
  const admins = await readAdmins(context)
  await context.terminal.print(
    json === true
      ? `${JSON.stringify(admins, null, 2)}\n`
      : [
          ...admins.keys.map((peer) => `admin      ${peer}`),
          `agree      ${admins.threshold} of ${admins.keys.length} change this set`,
          `recovery   ${admins.recovery}`,
          '',
        ].join('\n'),
  )
}

async function propose(context: Context, options: ProposeOptions): Promise<void> {
  const [{ loadAdminKey, loadOwnKey }, { publicKeyOf }, { parseCid }, { draftRecord }, proposals] =
    await Promise.all([
      import('../sign.ts'),
      import('../../../src/record/key.ts'),
      import('../../../src/block/cid.ts'),
      import('../../../src/record/draft.ts'),
      import('../../proposal.ts'),
    ])
  if (options.key !== undefined && options.recovery !== undefined)
    throw new MirrorError('invalid', 'name one of --key and --recovery')
  const key =
    options.recovery !== undefined
      ? await loadOwnKey(context, resolve(options.recovery), 'the recovery key')
      : options.key !== undefined
        ? await loadOwnKey(context, resolve(options.key), 'the key of an admin')
        : await loadAdminKey(context)
  const before = await readAdmins(context)
  for (const peer of options.remove)
    if (!before.keys.includes(peer))
      throw new MirrorError('not-found', `${peer} is no admin`, { hint: `See: ${context.self} admin list` })
  const keys = [...new Set([...before.keys, ...options.add])].filter((peer) => !options.remove.includes(peer))
  const threshold = readThreshold(
    options.threshold ?? String(Math.min(before.threshold, keys.length)),
    keys.length,
  )
  checkSigners(context, before, key.peer, options)
  const chainOf = (peer: string) => context.api.get<ChainDocument>(`/api/v1/chain/${peer}`, context.signal)
  const cuts = await Promise.all(
    before.keys
      .filter((peer) => !keys.includes(peer))
      .map(async (peer) => {
        const { counter, prev } = await chainOf(peer)
        return { key: publicKeyOf(peer), counter, last: prev === null ? null : parseCid(prev) }
      }),
  )
  const chain = await chainOf(key.peer)
  const draft = draftRecord({
    kind: 'admin-set',
    body: {
      previous: parseCid(before.record),
      admins: { keys: keys.map((peer) => publicKeyOf(peer)).toSorted(Buffer.compare), threshold },
      recovery: publicKeyOf(options.newRecovery ?? before.recovery),
      cuts: cuts.toSorted((a, b) => Buffer.compare(a.key, b.key)),
    },
    mesh: parseCid(chain.mesh),
    issuer: key.publicKey,
    tip: chain.prev === null ? undefined : { counter: chain.counter, id: parseCid(chain.prev) },
    timeMs: context.clock.nowMs(),
    cosigners: options.cosigner.map((peer) => publicKeyOf(peer)),
  })
  const proposal = proposals.createProposal(draft.payload)
  showChange(context, before, keys, threshold, options.newRecovery)
  await confirm(context, 'Sign this?', options.yes === true)
  await goOn(context, proposals.signProposal(proposal, key), resolve(options.out ?? 'admin-set.proposal'))
}

/** Signed by too few it would be kept by everybody and count for nobody. */
function checkSigners(
  { self }: Context,
  before: AdminsDocument,
  signer: string,
  { recovery, cosigner, newRecovery }: ProposeOptions,
): void {
  if (signer === before.recovery) return
  if (recovery !== undefined)
    throw new MirrorError(
      'refused',
      `${signer} is not the recovery key of this mesh, which is ${before.recovery}`,
    )
  if (newRecovery !== undefined)
    throw new MirrorError('refused', 'only the recovery key names another one', {
      hint: 'Use --recovery FILE.',
    })
  const voters = [...new Set([signer, ...cosigner])]
  const stranger = voters.find((peer) => !before.keys.includes(peer))
  if (stranger !== undefined) {
    throw new MirrorError('refused', `${stranger} is no admin`, { hint: `See: ${self} admin list` })
  }
  if (voters.length < before.threshold) {
    throw new MirrorError(
      'refused',
      `${before.threshold} admins must agree to this, and ${voters.length} would sign it`,
      {
        hint: `Name the others with --cosigner PEER: ${before.keys.filter((peer) => peer !== signer).join(', ')}`,
      },
    )
  }
}

function readThreshold(text: string, most: number): number {
  const value = /^[1-9]\d?$/.test(text) ? Number(text) : 0
  if (value < 1 || value > most)
    throw new MirrorError(
      'invalid',
      `--threshold is 1 to ${most}, as many admins as there would be, not ${text}`,
    )
  return value
}

function showChange(
  { terminal }: Context,
  before: AdminsDocument,
  keys: readonly string[],
  threshold: number,
  newRecovery: string | undefined,
): void {
  for (const peer of keys) terminal.say(`${before.keys.includes(peer) ? '  ' : '+ '}${peer}`)
  for (const peer of before.keys) if (!keys.includes(peer)) terminal.say(`- ${peer}  (for good)`)
  terminal.say(`${threshold} of ${keys.length} must agree to the next change`)
  if (newRecovery !== undefined) terminal.say(`recovery key: ${newRecovery}`)
}

async function readProposal(file: string): Promise<Proposal> {
  const { decodeProposal } = await import('../../proposal.ts')
  const path = resolve(file)
  const text = await readFile(path, 'utf8').catch((error) => {
    throw asMirrorError(error, `read the proposal, ${path}`)
  })
  return decodeProposal(text, path)
}

async function sign(
  context: Context,
  file: string,
  { key: keyFile, yes }: { key?: string; yes?: boolean },
): Promise<void> {
  const [{ loadAdminKey, loadOwnKey }, { signProposal }] = await Promise.all([
    import('../sign.ts'),
    import('../../proposal.ts'),
  ])
  const proposal = await readProposal(file)
  const key =
    keyFile === undefined
      ? await loadAdminKey(context)
      : await loadOwnKey(context, resolve(keyFile), 'the key of an admin')
  const { text } = describeRecord(proposal.record)
  context.terminal.say(`by ${proposal.record.issuerPeer}: ${text}`)
  await confirm(context, 'Sign this?', yes === true)
  await goOn(context, signProposal(proposal, key), resolve(file))
}

/** Submits what is complete; else says who comes next. */
async function goOn(context: Context, proposal: Proposal, file: string): Promise<void> {
  const { encodeProposal, missingSigners } = await import('../../proposal.ts')
  const missing = missingSigners(proposal)
  if (missing.length === 0) {
    await bring(context, proposal)
    return
  }
  const { writeDurably } = await import('../../durable-file.ts')
  try {
    await writeDurably(file, encodeProposal(proposal), { mode: 0o644 })
  } catch (error) {
    throw asMirrorError(error, `write the proposal, ${file}`)
  }
  await context.terminal.print(`${file}\n`)
  context.terminal.say(`to be signed by ${missing.join(', ')}: ${context.self} admin sign ${file}`)
}

async function submit(context: Context, file: string): Promise<void> {
  await bring(context, await readProposal(file))
}

async function bring({ api, signal, terminal }: Context, proposal: Proposal): Promise<void> {
  const { finishProposal } = await import('../../proposal.ts')
  const record = Buffer.from(finishProposal(proposal)).toString('base64')
  const { id } = await api.post<{ id: string }>('/api/v1/records', { record }, signal)
  await terminal.print(`${id}\n`)
  terminal.say('the mesh has new admins')
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}
