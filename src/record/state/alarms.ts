/** What an operator must see, from the state. The same records give the same alarms, in the same order. */
import { type PeerId, peerIdOf } from '../key.ts'
import type { Alarm, TreeState } from '../mesh-state.ts'
import type { AdminSets } from './admin-sets.ts'
import type { Authority } from './authority.ts'
import type { Chains } from './chains.ts'

export function alarmsOf(
  chains: Chains,
  admins: AdminSets,
  authority: Authority,
  forkedTrees: Iterable<TreeState>,
): readonly Alarm[] {
  const alarms: Alarm[] = []
  for (const tree of forkedTrees) {
    const { name, fork } = tree
    if (fork?.kind === 'heads') {
      alarms.push({
        kind: 'head-fork',
        subject: name,
        message: `tree ${name}: its publisher signed different heads for sequence ${fork.sequence} of epoch ${fork.epoch}; the tree stays at ${standsAt(tree)} until an admin starts a new epoch`,
        records: fork.records,
      })
    }
    if (fork?.kind === 'epochs') {
      alarms.push({
        kind: 'epoch-conflict',
        subject: name,
        message: `tree ${name}: different epochs ${fork.epoch} were signed; the tree stays at ${standsAt(tree)} until an admin's next epoch names one of them`,
        records: fork.records,
      })
    }
  }
  const conflict = admins.conflict()
  const current = admins.current()
  if (conflict.length > 0 && current !== undefined) {
    alarms.push({
      kind: 'admin-set-conflict',
      subject: peerIdOf(current.record.issuer),
      message: 'the admins signed different sets to follow one set; the recovery key can decide between them',
      records: conflict,
    })
  }
  for (const peer of chains.forked()) {
    if (authority.cuts(peer).length > 0) continue
    alarms.push(chainFork(chains, peer))
  }
  return alarms.sort((a, b) => compareText(a.kind, b.kind) || compareText(a.subject, b.subject))
}

export function alarmKey({ kind, subject, records }: Alarm): string {
  return [kind, subject, ...records].join(' ')
}

function chainFork(chains: Chains, peer: PeerId): Alarm {
  return {
    kind: 'chain-fork',
    subject: peer,
    message: `the key ${peer} signed two records at one place of its chain: it is used at two places, was restored from a backup, or is stolen. Replace it to clear this`,
    records: chains.fork(peer),
  }
}

function standsAt({ newest }: TreeState): string {
  return newest === undefined ? 'nothing' : `sequence ${newest.sequence}`
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
