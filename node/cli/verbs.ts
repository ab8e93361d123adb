/**
 * Every verb, with the sentence that the overview shows and the module that has the rest. Only the module of the
 * verb that was asked for is loaded.
 */
import type { Command } from 'commander'
import type { Context } from './context.ts'

export interface VerbModule {
  /** Adds arguments, options, sub-verbs and what they do. */
  define(command: Command, context: Context): void
}

export interface Verb {
  readonly name: string
  readonly summary: string
  readonly group: 'Everyday' | 'By noun'
  load(): Promise<VerbModule>
}

export const VERBS: readonly Verb[] = [
  everyday('init', 'start a new mesh, with this machine as its first site', () => import('./verbs/init.ts')),
  everyday('invite', 'make a token with which one new site may join', () => import('./verbs/invite.ts')),
  everyday('join', 'join a mesh with a token, or ask to be let in', () => import('./verbs/join.ts')),
  everyday('daemon', 'run the node of this site', () => import('./verbs/daemon.ts')),
  everyday('status', 'show the whole mesh: sites, trees, traffic', () => import('./verbs/status.ts')),
  everyday('publish', 'make a folder the new head of a tree', () => import('./verbs/publish.ts')),
  everyday('wait', 'wait until sites hold a snapshot in full', () => import('./verbs/wait.ts')),
  everyday('ls', 'list a folder of a tree', () => import('./verbs/ls.ts')),
  everyday('get', 'copy one file or folder out of a tree', () => import('./verbs/get.ts')),
  everyday('diff', 'show what changed between two snapshots', () => import('./verbs/diff.ts')),
  everyday('checkout', 'write a snapshot as plain files', () => import('./verbs/checkout.ts')),
  everyday('adopt', 'use the files of a mirror that is here already', () => import('./verbs/adopt.ts')),
  everyday('verify', 'read every block again and compare it with its CID', () => import('./verbs/verify.ts')),
  everyday(
    'gc',
    'drop what no retained snapshot needs, and give its space back',
    () => import('./verbs/gc.ts'),
  ),
  everyday('scrub', 'read the whole store at a set rate, to find damage', () => import('./verbs/scrub.ts')),
  noun('site', 'label sites, take one out of service', () => import('./verbs/site.ts')),
  noun('admin', 'show and change the keys that speak for the mesh', () => import('./verbs/admin.ts')),
  noun('member', 'list the nodes of the mesh, let one in, revoke one', () => import('./verbs/member.ts')),
  noun('grant', 'lend pins, tags, trees or reading to other keys', () => import('./verbs/grant.ts')),
  noun('events', 'show who said what in the mesh, and when', () => import('./verbs/events.ts')),
  noun('tree', 'create and list trees, show and steer their history', () => import('./verbs/tree.ts')),
  noun(
    'token',
    'let clients in: to the API, or to private trees at the gateway',
    () => import('./verbs/token.ts'),
  ),
  noun('tag', 'point a name at a snapshot of a tree', () => import('./verbs/tag.ts')),
  noun('pin', 'say which sites keep which trees', () => import('./verbs/pin.ts')),
  noun(
    'fetch',
    'show what is being fetched, from whom, and why; pause and resume',
    () => import('./verbs/fetch.ts'),
  ),
  noun(
    'topology',
    'declare the links between sites, and show what is measured',
    () => import('./verbs/topology.ts'),
  ),
  noun('mesh', 'keep what admins say in one file', () => import('./verbs/mesh.ts')),
  noun('store', 'show what lies outside of the store, and let go of it', () => import('./verbs/store.ts')),
  noun(
    'limits',
    'show and change what this site sends and receives at most',
    () => import('./verbs/limits.ts'),
  ),
  noun('config', 'show paths and settings, check the config file', () => import('./verbs/config.ts')),
  noun('completion', 'print a completion script for a shell', () => import('./verbs/completion.ts')),
]

function everyday(name: string, summary: string, load: () => Promise<VerbModule>): Verb {
  return { name, summary, group: 'Everyday', load }
}

function noun(name: string, summary: string, load: () => Promise<VerbModule>): Verb {
  return { name, summary, group: 'By noun', load }
}
