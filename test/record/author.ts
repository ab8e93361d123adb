/** Given data for the tests of records: keys by name, and chains that go on by themselves. */
import { utf8 } from '../../src/base/bytes.ts'
import { type Cid, cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { blake3 } from '../../src/block/hash.ts'
import type { Bodies, Kind } from '../../src/record/content.ts'
import { type ChainTip, draftOpaque, draftRecord, signRecord } from '../../src/record/draft.ts'
import { type KeyPair, keyPairFromSeed } from '../../src/record/key.ts'
import { decodeSigned, type VerifiedRecord } from '../../src/record/record.ts'

export const NOW_MS = 1_750_000_000_000

export function keyOf(name: string): KeyPair {
  return keyPairFromSeed(blake3.digest(utf8(`test key ${name}`)))
}

export function snapshotOf(name: string): Cid {
  return cidOf(DAG_CBOR, utf8(`snapshot ${name}`))
}

export function sorted(...keys: KeyPair[]): Uint8Array[] {
  return keys.map(({ publicKey }) => publicKey).sort(Buffer.compare)
}

export interface Author {
  readonly mesh: Cid
  readonly genesis: VerifiedRecord
  readonly records: VerifiedRecord[]
  /** Signs a record that goes on from the issuer's last one, or from `after`. */
  say<K extends Kind>(issuer: KeyPair, kind: K, body: Bodies[K], options?: SayOptions): VerifiedRecord
  sayOpaque(issuer: KeyPair, kind: string, body: unknown): VerifiedRecord
  tree(name: string, publishers: KeyPair[], version?: number): VerifiedRecord
  epoch(tree: string, publisher: KeyPair, previous?: VerifiedRecord, base?: VerifiedRecord): VerifiedRecord
  head(
    publisher: KeyPair,
    tree: string,
    previous: VerifiedRecord | undefined,
    snapshot: string,
    options?: HeadOptions,
  ): VerifiedRecord
}

export interface SayOptions {
  readonly cosigners?: readonly KeyPair[]
  /** Null: from the start of the chain. */
  readonly after?: VerifiedRecord | null
  readonly timeMs?: number
  readonly issuer?: KeyPair
}

export interface HeadOptions extends SayOptions {
  readonly epoch?: number
  readonly sequence?: number
}

export interface MeshOptions {
  readonly admins?: readonly KeyPair[]
  readonly threshold?: number
}

export const admin = keyOf('admin')
export const recovery = keyOf('recovery')

export function createAuthor({ admins = [admin], threshold = 1 }: MeshOptions = {}): Author {
  const tips = new Map<string, ChainTip>()
  const records: VerifiedRecord[] = []
  const first = draftRecord({
    kind: 'genesis',
    body: {
      name: 'test',
      admins: { keys: sorted(...admins), threshold },
      recovery: recovery.publicKey,
      nonce: new Uint8Array(16),
    },
    mesh: null,
    issuer: admins[0]!.publicKey,
    tip: undefined,
    timeMs: NOW_MS,
  })
  const genesis = keep(decodeSigned(signRecord(first, admins[0]!)))
  const mesh = genesis.id

  function keep(record: VerifiedRecord): VerifiedRecord {
    tips.set(record.issuerPeer, { counter: record.counter, id: record.id })
    records.push(record)
    return record
  }

  function tipFor(issuer: KeyPair, after: VerifiedRecord | null | undefined): ChainTip | undefined {
    if (after === undefined) return tips.get(issuer.peer)
    return after === null ? undefined : { counter: after.counter, id: after.id }
  }

  const author: Author = {
    mesh,
    genesis,
    records,
    say(issuer, kind, body, { cosigners = [], after, timeMs = NOW_MS } = {}) {
      const draft = draftRecord({
        kind,
        body,
        mesh,
        issuer: issuer.publicKey,
        tip: tipFor(issuer, after),
        timeMs,
        cosigners: cosigners.map(({ publicKey }) => publicKey),
      })
      return keep(decodeSigned(signRecord(draft, issuer, ...cosigners)))
    },
    sayOpaque(issuer, kind, body) {
      const draft = draftOpaque({
        kind,
        body,
        mesh,
        issuer: issuer.publicKey,
        tip: tips.get(issuer.peer),
        timeMs: NOW_MS,
      })
      return keep(decodeSigned(signRecord(draft, issuer)))
    },
    tree: (name, publishers, version = 1) =>
      author.say(admin, 'tree', {
        name,
        readers: 'members',
        publishers: sorted(...publishers),
        version,
        removed: false,
      }),
    epoch: (tree, publisher, previous, base) =>
      author.say(admin, 'epoch', {
        tree,
        epoch: previous?.content.kind === 'epoch' ? previous.content.body.epoch + 1 : 1,
        previous: previous?.id ?? null,
        publisher: publisher.publicKey,
        base: base?.id ?? null,
      }),
    head(publisher, tree, previous, snapshot, { epoch = 1, sequence, ...options } = {}) {
      const before = previous?.content.kind === 'head' ? previous.content.body.sequence : 0
      return author.say(
        publisher,
        'head',
        {
          tree,
          epoch,
          sequence: sequence ?? before + 1,
          previous: previous?.id ?? null,
          snapshot: snapshotOf(snapshot),
          counts: {},
        },
        options,
      )
    },
  }
  return author
}
