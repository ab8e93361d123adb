/** Histories of a mesh as fast-check makes them: any order of what members, admins and grants may say, and may not. */
import fc from 'fast-check'
import { hex } from '../../src/base/bytes.ts'
import type { KeyPair } from '../../src/record/key.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import { treeOf } from '../../src/record/state/tree-records.ts'
import { type Author, createAuthor, keyOf, NOW_MS, recovery, snapshotOf, sorted } from './author.ts'

const [a, b, c] = [keyOf('a'), keyOf('b'), keyOf('c')]
export const nodes = [keyOf('n0'), keyOf('n1'), keyOf('n2')]
const everybody = [a, b, c, ...nodes, recovery]

/** One step of a history: what, by whom, and numbers that pick among what exists. */
export const steps = fc.array(
  fc.record({
    what: fc.constantFrom(
      'head',
      'head',
      'head',
      'head',
      'head',
      'head',
      'head',
      'head',
      'encodings',
      'encodings',
      'encodings',
      'epoch',
      'tree',
      'tag',
      'pin',
      'topology',
      'site',
      'takedown',
      'verdict',
      'member',
      'invite',
      'withdrawal',
      'admit',
      'admit',
      'admit',
      'grant',
      'grant',
      'grant',
      'lent',
      'lent',
      'lent',
      'revocation',
      'admin-set',
      'later',
    ),
    pick: fc.nat(1000),
    other: fc.nat(1000),
    isOdd: fc.integer({ min: 0, max: 9 }).map((n) => n < 2),
  }),
  { minLength: 5, maxLength: 45 },
)
export type Step = { what: string; pick: number; other: number; isOdd: boolean }

export function history(script: readonly Step[]): Author {
  const author = createAuthor({ admins: [a, b], threshold: 1 })
  for (const name of ['x', 'y']) {
    author.say(a, 'tree', {
      name,
      readers: 'members',
      publishers: sorted(...nodes),
      version: 1,
      removed: false,
    })
    author.say(a, 'epoch', {
      tree: name,
      epoch: 1,
      previous: null,
      publisher: nodes[0]!.publicKey,
      base: null,
    })
  }
  for (const [i, role] of (['operator', 'publisher'] as const).entries()) {
    author.say(a, 'grant', {
      grants: [nodes[i + 1]!.publicKey],
      name: 'g0',
      role,
      trees: ['**'],
      may: role === 'operator' ? ['drains', 'pins', 'tags'] : [],
      expiresMs: null,
      counter: 0,
      last: null,
      version: 1,
      removed: false,
    })
  }
  for (const step of script) act(author, step)
  return author
}

function act(author: Author, { what, pick, other, isOdd }: Step): void {
  const of = (kind: string, tree?: string): VerifiedRecord[] =>
    author.records.filter(
      (record) => record.content.kind === kind && (tree === undefined || treeOf(record) === tree),
    )
  // Mostly the newest, at odd times any.
  const some = (list: readonly VerifiedRecord[]): VerifiedRecord | undefined =>
    list[isOdd ? other % Math.max(1, list.length) : list.length - 1]
  const oneOf = (keys: readonly KeyPair[]): KeyPair =>
    isOdd ? everybody[other % everybody.length]! : keys[pick % keys.length]!
  const branch = (issuer: KeyPair) => {
    const own = author.records.filter(({ issuerPeer }) => issuerPeer === issuer.peer)
    return (isOdd || nodes.includes(issuer)) && other % 3 === 0 && own.length > 0
      ? { after: own[pick % own.length]! }
      : {}
  }
  const tree = pick % 3 === 0 ? 'y' : 'x'
  const admin = oneOf([a, b])
  const version = 1 + (other % 4)
  const removed = other % 7 === 0
  switch (what) {
    case 'head': {
      const epoch = some(of('epoch', tree))
      if (epoch?.content.kind !== 'epoch') return
      const { body } = epoch.content
      const publisher = everybody.find(({ publicKey }) => hex(publicKey) === hex(body.publisher))
      const issuer = isOdd && other % 4 === 0 ? oneOf(nodes) : (publisher ?? a)
      const heads = of('head', tree)
      const previous = pick % 5 === 0 ? heads[other % Math.max(1, heads.length)] : heads.at(-1)
      author.head(issuer, tree, previous, `s${other % 5}`, { epoch: body.epoch, ...branch(issuer) })
      return
    }
    case 'encodings': {
      const heads = of('head', tree)
      const head = some(heads)
      const before = heads.slice(0, -1)
      const base = (isOdd ? heads : before)[pick % Math.max(1, before.length)]
      if (head?.content.kind !== 'head' || base?.content.kind !== 'head') return
      const { snapshot, sequence } = head.content.body
      if (snapshot.equals(base.content.body.snapshot)) return
      const publisher = everybody.find(({ peer }) => peer === head.issuerPeer) ?? a
      const issuer = isOdd ? oneOf(nodes) : publisher
      author.say(
        issuer,
        'encodings',
        {
          tree,
          snapshot,
          base: base.content.body.snapshot,
          sequence: isOdd ? 1 + (other % 5) : sequence,
          set: other % 2 === 0 ? null : snapshotOf(`set ${other}`),
          version,
          isComplete: removed,
          bytes: pick,
          targetBytes: other,
        },
        branch(issuer),
      )
      return
    }
    case 'epoch':
      author.epoch(
        tree,
        nodes[other % 3]!,
        some(of('epoch', tree)),
        isOdd && pick % 2 === 0 ? undefined : some(of('head', tree)),
      )
      return
    case 'tree':
      author.say(
        admin,
        'tree',
        { name: tree, readers: 'members', publishers: sorted(nodes[other % 3]!), version, removed },
        branch(admin),
      )
      return
    case 'tag':
      author.say(
        admin,
        'tag',
        { tree, tag: 'ga', snapshot: snapshotOf(`${other}`), sequence: 1, version, removed },
        branch(admin),
      )
      return
    case 'pin':
      author.say(
        admin,
        'pin',
        {
          ...{ name: `p${pick % 2}`, tree: '**', sites: { all: true }, version, removed },
          ...(other % 3 === 0 ? { copies: 2 + (other % 5) } : {}),
        },
        branch(admin),
      )
      return
    case 'takedown':
      author.say(
        admin,
        'takedown',
        {
          ...{ name: `t${pick % 2}`, tree, snapshots: [snapshotOf(`s${other % 5}`)], path: null },
          ...{ through: other, reason: `${other}`, version, removed },
        },
        branch(admin),
      )
      return
    case 'verdict':
      author.say(
        admin,
        'verdict',
        {
          ...{ tree, previous: snapshotOf(`h${other % 3}`), snapshot: snapshotOf(`s${other % 5}`) },
          ...{ accepted: removed, version },
        },
        branch(admin),
      )
      return
    case 'site':
      author.say(
        admin,
        'site',
        { site: `site${pick % 2}`, labels: removed ? [] : ['a'], drained: isOdd, note: `${other}`, version },
        branch(admin),
      )
      return
    case 'topology':
      author.say(
        admin,
        'topology',
        { regions: [{ region: 'emea', upKbit: 1 + other }], sites: [], paths: [], version },
        branch(admin),
      )
      return
    case 'grant': {
      const role = (['operator', 'publisher', 'publisher', 'reader'] as const)[other % 4]!
      const key = oneOf(nodes)
      const own = author.records.filter(({ issuerPeer }) => issuerPeer === key.peer)
      const last = pick % 3 === 0 ? own[other % Math.max(1, own.length)] : undefined
      author.say(
        admin,
        'grant',
        {
          grants: [key.publicKey],
          name: `g${pick % 2}`,
          role,
          trees: [['**', 'x', 'z/*'][pick % 3]!],
          may: role === 'operator' ? ['pins', 'tags'] : [],
          expiresMs: pick % 5 === 0 ? NOW_MS - 1 : null,
          counter: last?.counter ?? 0,
          last: last?.id ?? null,
          version,
          removed,
        },
        branch(admin),
      )
      return
    }
    // What a node says that has been granted it, or not.
    case 'lent': {
      const key = nodes[pick % nodes.length]!
      const own = ['x', 'z/0', 'z/1'][other % 3]!
      if (pick % 4 === 0) {
        const pattern = other % 2 === 0 ? own : 'z/*'
        const name = isOdd ? 'p0' : `${pattern}@all`
        const pin = { name, tree: pattern, sites: { all: true } as const, version, removed }
        author.say(key, 'pin', pin, branch(key))
        return
      }
      if (pick % 8 === 2) {
        const site = { site: `site${pick % 2}`, labels: ['b'], drained: isOdd, note: '', version }
        author.say(key, 'site', site, branch(key))
        return
      }
      if (pick % 4 === 1) {
        const tag = { tree: own, tag: 'ga', snapshot: snapshotOf(`${other}`), sequence: 1, version, removed }
        author.say(key, 'tag', tag, branch(key))
        return
      }
      const readers = other % 5 === 0 ? 'granted' : 'members'
      const owner = isOdd ? nodes[other % nodes.length]! : key
      const declaredBy = isOdd && other % 4 === 0 ? admin : key
      const body = {
        name: own,
        readers,
        publishers: sorted(owner),
        version: isOdd ? version : 1,
        removed,
      } as const
      author.say(declaredBy, 'tree', body)
      author.say(key, 'epoch', {
        tree: own,
        epoch: 1,
        previous: null,
        publisher: owner.publicKey,
        base: null,
      })
      author.head(key, own, undefined, `s${other % 5}`)
      return
    }
    case 'member':
      author.say(admin, 'member', {
        ...place(pick),
        peer: oneOf(nodes).publicKey,
        invite: null,
        expiresMs: null,
        version,
      })
      return
    case 'withdrawal': {
      const invite = some(of('invite'))
      if (invite !== undefined) author.say(admin, 'withdrawal', { invite: invite.id })
      return
    }
    case 'invite':
      author.say(admin, 'invite', {
        ...place(pick),
        admitter: oneOf(nodes).publicKey,
        secretHash: new Uint8Array(32),
        expiresMs: NOW_MS,
      })
      return
    case 'admit': {
      const invite = some(of('invite'))
      if (invite?.content.kind !== 'invite') return
      const { site, region, roles, admitter } = invite.content.body
      const issuer = everybody.find(({ publicKey }) => hex(publicKey) === hex(admitter)) ?? a
      const peer = keyOf(`guest ${other % 4}`).publicKey
      const options = { ...branch(issuer), timeMs: NOW_MS + (isOdd ? 1 : 0) }
      author.say(
        issuer,
        'member',
        { site, region, roles, peer, invite: invite.id, expiresMs: null, version: 1 },
        options,
      )
      return
    }
    case 'revocation': {
      const target = oneOf(nodes)
      const own = author.records.filter(({ issuerPeer }) => issuerPeer === target.peer)
      const last = own[pick % Math.max(1, own.length)]
      author.say(admin, 'revocation', {
        key: target.publicKey,
        counter: last?.counter ?? 0,
        last: last?.id ?? null,
        reason: 'r',
      })
      return
    }
    case 'admin-set': {
      const previous = some(of('admin-set')) ?? author.genesis
      if (previous.content.kind !== 'genesis' && previous.content.kind !== 'admin-set') return
      const before = previous.content.body.admins.keys
      const next = sorted(...(other % 2 === 0 ? [a, c] : [a, b]))
      const cuts = before
        .filter((key) => !next.some((kept) => hex(kept) === hex(key)))
        .map((key) => {
          const own = author.records.filter(({ issuer }) => hex(issuer) === hex(key))
          const last = own[pick % Math.max(1, own.length)]
          return { key, counter: last?.counter ?? 0, last: last?.id ?? null }
        })
      const body = {
        previous: previous.id,
        admins: { keys: next, threshold: 1 },
        recovery: recovery.publicKey,
        cuts,
      }
      author.say(isOdd ? recovery : a, 'admin-set', body)
      return
    }
    default:
      author.sayOpaque(admin, 'later', { other, grants: [keyOf('granted').publicKey] })
      author.sayOpaque(keyOf('granted'), 'later', { pick })
  }
}

function place(pick: number) {
  return { site: `site${pick % 3}`, region: 'emea', roles: ['site'] }
}
