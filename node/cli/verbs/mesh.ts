/** `mesh`: all that admins say of trees, pins, tags and links as one file, and the way from it to the mesh. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { asMirrorError, MirrorError } from '../../../src/base/errors.ts'
import type {
  PinDocument,
  SelfDocument,
  SnapshotPlace,
  TopologyDocument,
  TreeDocument,
} from '../../api/answers.ts'
import type { SiteDocument } from '../../api/routes/site-routes.ts'
import type { MemberDocument } from '../../api/schema/member-answers.ts'
import type { MeshChange, MeshFacts, MeshPlan } from '../../declare/mesh-changes.ts'
import type { MeshFile } from '../../declare/mesh-file.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'
import { createTree } from '../ensure-tree.ts'
import { EXIT } from '../exit-codes.ts'
import { countOf } from '../quantity.ts'
import { treeUrl } from '../tree-url.ts'
import { readGrants } from './grant.ts'
import type { PinSettings } from './pin.ts'

interface PlanOptions {
  readonly prune?: boolean
  readonly check?: boolean
  readonly json?: boolean
}

interface ApplyOptions extends PlanOptions {
  readonly plan?: string
  readonly yes?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .command('export')
    .description('write trees, tags, grants, pins, labels, topology and members as one YAML file')
    .option('--out <FILE>', 'the file; stdout when left out')
    .option('--json', 'as JSON, which mesh plan and mesh apply read as well')
    .action((options: { out?: string; json?: boolean }) => exportMesh(context, options))
  command
    .command('plan')
    .description('say what would change if the mesh became what a file says')
    .argument('<FILE>', 'as mesh export writes it; a section that is left out is left alone')
    .option('--prune', 'what is in the mesh and not in the file goes')
    .option('--check', 'exit 4 when anything would change')
    .option('--json', 'print the plan as JSON')
    .action((file: string, options: PlanOptions) => plan(context, file, options))
  command
    .command('apply')
    .description('make the mesh what a file says (signed by an admin)')
    .argument('<FILE>', 'as for mesh plan')
    .option('--prune', 'what is in the mesh and not in the file goes')
    .option('--plan <ID>', 'refuse unless this is still the plan: its id as mesh plan printed it')
    .option('--yes', 'do not ask')
    .option('--json', 'print what was done as JSON')
    .action((file: string, options: ApplyOptions) => apply(context, file, options))
}

async function readFacts({ api, signal }: Context): Promise<MeshFacts> {
  const [self, { trees }, { pins }, topology, { members }, { sites }, grants] = await Promise.all([
    api.get<SelfDocument>('/api/v1/self', signal),
    api.get<{ trees: TreeDocument[] }>('/api/v1/trees', signal),
    api.get<{ pins: PinDocument[] }>('/api/v1/pins', signal),
    api.get<TopologyDocument>('/api/v1/topology', signal),
    api.get<{ members: MemberDocument[] }>('/api/v1/members', signal),
    api.get<{ sites: SiteDocument[] }>('/api/v1/sites', signal),
    readGrants({ api, signal }),
  ])
  return { name: self.mesh.name, trees, pins, topology, members, sites, grants }
}

async function exportMesh(context: Context, { out, json }: { out?: string; json?: boolean }): Promise<void> {
  const [{ describeMesh }, { stringify }] = await Promise.all([
    import('../../declare/mesh-changes.ts'),
    import('yaml'),
  ])
  const mesh = describeMesh(await readFacts(context))
  const text = json === true ? `${JSON.stringify(mesh, null, 2)}\n` : stringify(mesh)
  if (out === undefined) {
    await context.terminal.print(text)
    return
  }
  const { writeDurably } = await import('../../durable-file.ts')
  const path = resolve(out)
  try {
    await writeDurably(path, text, { mode: 0o644 })
  } catch (error) {
    throw asMirrorError(error, `write ${path}`)
  }
}

async function readPlan(
  context: Context,
  file: string,
  { prune }: PlanOptions,
): Promise<{ file: MeshFile; facts: MeshFacts; plan: MeshPlan }> {
  const [{ readMeshFile }, { planMesh }] = await Promise.all([
    import('../../declare/mesh-file.ts'),
    import('../../declare/mesh-changes.ts'),
  ])
  const declared = await readMeshFile(resolve(file))
  const facts = await readFacts(context)
  return { file: declared, facts, plan: planMesh(declared, facts, prune === true) }
}

async function plan(context: Context, file: string, options: PlanOptions): Promise<void> {
  const { terminal } = context
  const found = (await readPlan(context, file, options)).plan
  if (options.check === true && found.changes.length > 0) context.exitWith(EXIT.degraded)
  if (options.json === true) {
    await terminal.print(`${JSON.stringify(found, null, 2)}\n`)
    return
  }
  for (const note of found.notes) terminal.say(`mirrormesh: note: ${note}`)
  await terminal.print(
    `${found.changes.map(({ text }) => `${text}\n`).join('')}${
      found.changes.length === 0
        ? 'nothing changes'
        : `${countOf(found.changes.length, 'change')}, plan ${found.id}`
    }\n`,
  )
}

async function apply(context: Context, path: string, options: ApplyOptions): Promise<void> {
  const { terminal } = context
  const { file, facts, plan: found } = await readPlan(context, path, options)
  if (options.plan !== undefined && options.plan !== found.id) {
    throw new MirrorError(
      'conflict',
      `the plan is ${found.id} now, not ${options.plan}: the mesh or the file has changed`,
      {
        hint: `Look at it again: ${context.self} mesh plan ${path}`,
      },
    )
  }
  if (file.mesh !== undefined && file.mesh !== facts.name)
    throw new MirrorError('conflict', `${path} is of the mesh ${file.mesh}, and this is ${facts.name}`)
  for (const note of found.notes) terminal.say(`mirrormesh: note: ${note}`)
  for (const { text } of found.changes) terminal.say(text)
  if (found.changes.length > 0) {
    await confirm(
      context,
      `Sign ${countOf(found.changes.length, 'change')}?`,
      options.yes === true || options.plan !== undefined,
    )
    for (const change of found.changes) await make(context, change, file, facts)
  }
  await terminal.print(
    options.json === true
      ? `${JSON.stringify(found, null, 2)}\n`
      : `${found.changes.length === 0 ? 'nothing changes' : `${countOf(found.changes.length, 'change')} made`}\n`,
  )
}

/** Each is a record of its own: killed in between, the next apply makes the rest. */
async function make(context: Context, change: MeshChange, file: MeshFile, facts: MeshFacts): Promise<void> {
  const treeOf = (name: string): TreeDocument => facts.trees.find(({ tree }) => tree === name)!
  switch (change.kind) {
    case 'create-tree':
      return createTree(context, change.tree, change.peer)
    case 'set-grant':
    case 'remove-grant': {
      const { signGrant } = await import('./grant.ts')
      await signGrant(context, { ...change.grant, isRemoved: change.kind === 'remove-grant' })
      return
    }
    case 'hand-over': {
      const { startEpoch } = await import('./tree-epoch.ts')
      const tree = treeOf(change.tree)
      await startEpoch(context, tree, change.peer, tree.epoch?.id ?? null, tree.head)
      return
    }
    case 'delete-tree': {
      const { signDeletion } = await import('./tree-delete.ts')
      await signDeletion(context, treeOf(change.tree))
      return
    }
    case 'set-tree': {
      const { signTreeSettings } = await import('./tree-set.ts')
      await signTreeSettings(context, change.tree, change.settings)
      return
    }
    case 'set-pin':
    case 'remove-pin': {
      const { signPin } = await import('./pin.ts')
      if (change.kind === 'remove-pin') await signPin(context, change.tree, change.sites, { removed: true })
      else {
        const { tree, sites, ...said } = change.pin
        await signPin(context, tree, sites, {
          ...(definedOf(said) as Omit<PinSettings, 'removed'>),
          removed: false,
        })
      }
      return
    }
    case 'set-tag': {
      const { signTag } = await import('./tag.ts')
      const place = await context.api.get<SnapshotPlace>(
        treeUrl({ tree: change.tree, ref: String(change.sequence) }, 'place'),
        context.signal,
      )
      return signTag(context, { ...change, snapshot: place.snapshot, isRemoved: false })
    }
    case 'remove-tag': {
      const { signTag } = await import('./tag.ts')
      const tag = treeOf(change.tree).tags.find((each) => each.tag === change.tag)!
      return signTag(context, { tree: change.tree, ...tag, isRemoved: true })
    }
    case 'set-labels': {
      const { signSite } = await import('./site.ts')
      const found = facts.sites.find(({ site }) => site === change.site)
      const { drained = false, note = '' } = found ?? {}
      return signSite(context, { site: change.site, labels: change.labels, drained, note })
    }
    case 'set-topology': {
      const { signTopology } = await import('./topology.ts')
      await signTopology(context, file.topology!)
    }
  }
}

/** Without what is undefined, which a record cannot hold. */
function definedOf(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
