/** What admins sign in the page is what they would sign at the command line: trees, grants, other admins and their proposals. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TreeDocument } from '../../node/api/answers.ts'
import { bodyOfTree } from '../../node/cli/tree-body.ts'
import { adminSetBody, grantBody } from '../../node/console/members/record-bodies.ts'
import { encodeCbor, type Value } from '../../node/console/signing/encode.ts'
import { openKeyFile } from '../../node/console/signing/key-file.ts'
import {
  finishProposal,
  missingSigners,
  proposalText,
  readPayload,
  readProposal,
  signProposal,
} from '../../node/console/signing/proposal.ts'
import { payloadOf } from '../../node/console/signing/record.ts'
import { epochBody, takedownBody, treeBody } from '../../node/console/tree/tree-body.ts'
import { encodeKeyFile } from '../../node/keys.ts'
import {
  decodeProposal,
  encodeProposal,
  finishProposal as finishThere,
  signProposal as signThere,
} from '../../node/proposal.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { encodeCbor as encodeHere } from '../../src/block/codec.ts'
import { keyPairFromSeed } from '../../src/record/key.ts'
import { decodeAdminSet } from '../../src/record/kinds/admin-set.ts'
import { decodeEpoch } from '../../src/record/kinds/epoch.ts'
import { decodeGrant } from '../../src/record/kinds/grant.ts'
import { decodeTakedown } from '../../src/record/kinds/takedown.ts'
import { decodeTree } from '../../src/record/kinds/tree.ts'
import { decodeSigned } from '../../src/record/record.ts'

const key = keyPairFromSeed(new Uint8Array(32).fill(7))
const mesh = cidOf(DAG_CBOR, utf8('mesh'))
const before = cidOf(DAG_CBOR, utf8('before'))

function same(made: Value, here: unknown): void {
  assert.deepEqual(Buffer.from(encodeCbor(made)), Buffer.from(encodeHere(here)))
}

test("an admin's words on a tree have the bytes that the command line gives them", () => {
  const [one, two] = [key, keyPairFromSeed(new Uint8Array(32).fill(8))]
  const document = {
    ...{
      tree: 'a/b',
      version: 3,
      epoch: null,
      head: null,
      tags: [],
      encodings: [],
      isForked: false,
      fork: null,
    },
    publishers: [one.peer, two.peer],
  }
  const settings = [
    { kind: 'simple', readers: 'members', gate: null, keep: null },
    { kind: 'versioned', readers: 'granted', gate: { repository: 'deb' }, keep: { last: 3 } },
    {
      kind: 'snapshot',
      readers: 'members',
      gate: { path: 'a/b', text: 'FINISHED' },
      keep: { days: 9, last: 1 },
    },
  ] as const
  for (const each of settings) {
    const tree: TreeDocument = { ...document, ...each }
    const expected = bodyOfTree(tree, 4)
    const publishers = expected.publishers.toSorted(Buffer.compare)
    same(treeBody(tree, 4), { ...expected, publishers })
    same(treeBody(tree, 4, { isRemoved: true }), { ...expected, publishers, removed: true })
    decodeTree({ ...expected, publishers })
  }
  const epoch = { tree: 'a/b', epoch: 2, publisher: two.publicKey, previous: before, base: mesh }
  const names = { previous: before.toString(), publisher: two.peer, base: mesh.toString() }
  same(epochBody({ tree: 'a/b', epoch: 2, ...names }), decodeEpoch(epoch))
  const [first, second] = [before, mesh].toSorted((a, b) => Buffer.compare(a.bytes, b.bytes))
  const takedown = {
    ...{ name: 'a/b:x', tree: 'a/b', path: 'x', through: 4, version: 1, reason: 'leaked', removed: false },
    snapshots: [first!, second!],
  }
  const plan = { ...takedown, snapshots: [second!, first!].map(String), sequences: [3, 4], standing: 2 }
  same(takedownBody(plan, 'leaked', false), decodeTakedown(takedown))
})

test('grants and admin sets have the bytes that the command line gives them', () => {
  const other = keyPairFromSeed(new Uint8Array(32).fill(8))
  const terms = {
    ...{ peer: key.peer, role: 'operator' as const, name: 'lab', expiresMs: 7 },
    trees: ['b', 'a/**', 'b'],
  }
  const chain = { counter: 3, prev: before.toString() }
  const grant = {
    ...{
      grants: [key.publicKey],
      name: 'lab',
      role: 'operator',
      trees: ['a/**', 'b'],
      may: ['pins', 'tags'],
    },
    ...{ expiresMs: 7, counter: 3, last: before, version: 2, removed: false },
  }
  same(grantBody({ ...terms, may: ['tags', 'pins'] }, { version: 2, chain }), decodeGrant(grant))
  same(
    grantBody({ ...terms, may: ['pins', 'tags'] }, { version: 2, chain: null, isRemoved: true }),
    decodeGrant({ ...grant, counter: 0, last: null, removed: true }),
  )
  const recovery = keyPairFromSeed(new Uint8Array(32).fill(9))
  const set = {
    keys: [key.peer, other.peer],
    threshold: 1,
    recovery: recovery.peer,
    record: mesh.toString(),
    timeMs: 1,
  }
  const cuts = new Map([[other.peer, chain]])
  same(
    adminSetBody(set, { ...set, keys: [key.peer] }, cuts),
    decodeAdminSet({
      previous: mesh,
      admins: { keys: [key.publicKey], threshold: 1 },
      recovery: recovery.publicKey,
      cuts: [{ key: other.publicKey, counter: 3, last: before }],
    }),
  )
})

test('a proposal is one file for the page and for the command line; a changed one is found out', async () => {
  const [other, recovery] = [8, 9].map((seed) => keyPairFromSeed(new Uint8Array(32).fill(seed)))
  const [first, second] = await Promise.all([key, other!].map((each) => openKeyFile(encodeKeyFile(each))))
  const set = {
    keys: [key.peer, other!.peer],
    threshold: 2,
    recovery: recovery!.peer,
    record: before.toString(),
  }
  const payload = payloadOf(key.publicKey, {
    ...{ kind: 'admin-set', timeMs: 1_700_000_000_000, cosigners: [other!.publicKey] },
    body: adminSetBody({ ...set, timeMs: 1 }, set, new Map()),
    chain: { mesh: mesh.toString(), counter: 4, prev: before.toString() },
  })
  const half = await signProposal(readPayload(payload), first!)
  assert.deepEqual(missingSigners(half), [other!.peer])
  // To the command line, and back.
  const there = signThere(decodeProposal(proposalText(half), 'x'), other!)
  const back = await readProposal(encodeProposal(there))
  assert.deepEqual([back.keys.toSorted(), back.threshold, missingSigners(back)], [set.keys.toSorted(), 2, []])
  const record = decodeSigned(finishProposal(back))
  assert.deepEqual([record.kind, record.cosigners.length], ['admin-set', 1])
  assert.deepEqual(
    Buffer.from(finishProposal(await signProposal(half, second!))),
    Buffer.from(finishThere(there)),
  )
  const changed = JSON.parse(proposalText(half)) as { payload: string }
  const bytes = Buffer.from(changed.payload, 'base64')
  bytes[bytes.indexOf(0x1b) + 8]! ^= 1
  await assert.rejects(
    readProposal(JSON.stringify({ ...changed, payload: bytes.toString('base64') })),
    /the signature by .* is wrong/,
  )
  await assert.rejects(
    signProposal(readPayload(payload), await openKeyFile(encodeKeyFile(recovery!))),
    /not among/,
  )
})
