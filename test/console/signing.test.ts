/** What the console signs is byte for byte what the command line would have signed. */
import assert from 'node:assert/strict'
import { createCipheriv, scryptSync } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { blake3OfBlock } from '../../node/console/signing/blake3.ts'
import { decodeCbor } from '../../node/console/signing/decode.ts'
import {
  encodeCbor,
  linkOf,
  linkText,
  peerOf,
  publicKeyOf,
  type Value,
} from '../../node/console/signing/encode.ts'
import { inviteBody, inviteToken } from '../../node/console/signing/invite.ts'
import { openKeyFile } from '../../node/console/signing/key-file.ts'
import { signRecord } from '../../node/console/signing/record.ts'
import { scrypt } from '../../node/console/signing/scrypt.ts'
import { encodeKeyFile } from '../../node/keys.ts'
import { openSeed } from '../../node/sealed-seed.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { cidOf, DAG_CBOR, parseCid } from '../../src/block/cid.ts'
import { encodeCbor as encodeHere } from '../../src/block/codec.ts'
import { blake3 } from '../../src/block/hash.ts'
import { draftRecord, signRecord as signHere } from '../../src/record/draft.ts'
import { inviteSecretHash, parseInviteToken } from '../../src/record/invite-token.ts'
import { keyPairFromSeed } from '../../src/record/key.ts'
import { pinName } from '../../src/record/kinds/pin.ts'
import { decodeSigned } from '../../src/record/record.ts'

const key = keyPairFromSeed(new Uint8Array(32).fill(7))
const mesh = cidOf(DAG_CBOR, utf8('mesh'))
const before = cidOf(DAG_CBOR, utf8('before'))
const plain = <T>(value: T): Value => value as unknown as Value

const bytes = fc.uint8Array({ maxLength: 300 })
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.string({ unit: 'grapheme', maxLength: 70 }),
    bytes,
    fc.array(tie('value'), { maxLength: 30 }),
    fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 40 }), tie('value'), {
      maxKeys: 30,
      noNullPrototype: true,
    }),
  ),
}))

test('every value has the bytes that the node gives it', () => {
  fc.assert(
    fc.property(value, (given) => {
      assert.deepEqual(Buffer.from(encodeCbor(plain(given))), Buffer.from(encodeHere(given)))
    }),
  )
  assert.throws(() => encodeCbor(0.5), RangeError)
})

test('CIDs and PeerIds are the same bytes', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 64 }),
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      (block, seed) => {
        const cid = cidOf(DAG_CBOR, block)
        assert.deepEqual(Buffer.from(linkOf(cid.toString()).bytes), Buffer.from(cid.bytes))
        const { peer, publicKey } = keyPairFromSeed(seed)
        assert.deepEqual(Buffer.from(publicKeyOf(peer)), Buffer.from(publicKey))
      },
    ),
    { numRuns: 50 },
  )
  assert.throws(() => linkOf('QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG'), RangeError)
  assert.throws(() => publicKeyOf(`12D3KooW${'x'.repeat(44)}`), RangeError)
})

test('a pin, a tag and a site signed by a key file are the very records of the command line', async () => {
  const signing = await openKeyFile(encodeKeyFile(key))
  const sites = { label: 'office' } as const
  const bodies = [
    [
      'pin',
      { name: pinName('a/*', sites), tree: 'a/*', sites, version: 3, removed: false, keep: { last: 2 } },
      {},
    ],
    [
      'tag',
      { tree: 'a/b', tag: 'ga', snapshot: before, sequence: 41, version: 1, removed: false },
      { snapshot: linkOf(before.toString()) },
    ],
    ['site', { site: 'lab', labels: ['eu', 'office'], drained: true, note: 'moved \u2603', version: 2 }, {}],
  ] as const
  for (const [kind, body, links] of bodies) {
    for (const prev of [null, before]) {
      const tip = prev === null ? undefined : { counter: 8, id: prev }
      const request = { kind, body, mesh, issuer: key.publicKey, tip, timeMs: 1_700_000_000_000 }
      const expected = signHere(draftRecord(request as Parameters<typeof draftRecord>[0]), key)
      const made = await signRecord(signing, {
        kind,
        body: plain({ ...body, ...links }),
        chain: { mesh: mesh.toString(), counter: prev === null ? 0 : 8, prev: prev?.toString() ?? null },
        timeMs: 1_700_000_000_000,
      })
      assert.deepEqual(Buffer.from(made), Buffer.from(expected))
      assert.equal(decodeSigned(made).issuerPeer, key.peer)
    }
  }
  assert.ok(parseCid(mesh.toString()).equals(mesh))
})

test('what the page decodes is what was encoded, and nothing that is not canonical', () => {
  fc.assert(
    fc.property(value, (given) => {
      const bytes = encodeCbor(plain(given))
      assert.deepEqual(Buffer.from(encodeCbor(decodeCbor(bytes))), Buffer.from(bytes))
    }),
  )
  // Whatever the bytes: a value, or an error; never a hang, never more memory than they ask for.
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (given) => {
      try {
        assert.deepEqual(Buffer.from(encodeCbor(decodeCbor(given))), Buffer.from(given))
      } catch (error) {
        assert.ok(error instanceof RangeError || error instanceof TypeError, String(error))
      }
    }),
  )
  for (const wrong of [
    '1817',
    'a2616201616102',
    '9bffffffffffffffff',
    '9a7fffffff',
    'd82b410 0'.replace(' ', ''),
    'fb3ff8000000000000',
  ])
    assert.throws(() => decodeCbor(Uint8Array.from(Buffer.from(wrong, 'hex'))), RangeError, wrong)
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (seed) => {
      const { peer, publicKey } = keyPairFromSeed(seed)
      assert.equal(peerOf(publicKey), peer)
      const cid = cidOf(DAG_CBOR, seed).toString()
      assert.equal(linkText(linkOf(cid)), cid)
    }),
    { numRuns: 50 },
  )
})

test('scrypt is that of RFC 7914', async () => {
  const hexOf = (found: Uint8Array) => Buffer.from(found).toString('hex')
  const salt = (text: string) => new TextEncoder().encode(text)
  assert.match(
    hexOf(await scrypt('', salt(''), { n: 16, r: 1, p: 1 }, 64)),
    /^77d6576238657b203b19ca42c18a0497f16b4844/,
  )
  assert.match(
    hexOf(await scrypt('password', salt('NaCl'), { n: 1024, r: 8, p: 16 }, 64)),
    /^fdbabe1c9d3472007856e7190d01e9fe7c6ad7cb/,
  )
  await assert.rejects(scrypt('x', salt(''), { n: 3, r: 1, p: 1 }), RangeError)
  await assert.rejects(scrypt('x', salt(''), { n: 2 ** 22, r: 32, p: 1 }), /more memory/)
})

/** As node/sealed-seed.ts makes them, at a hundredth of the cost. */
function sealedFile(passphrase: string): string {
  const [salt, nonce] = [Buffer.alloc(16, 1), Buffer.alloc(12, 2)]
  const cost = { n: 1024, r: 8, p: 1 }
  const derived = scryptSync(passphrase.normalize('NFKC'), salt, 32, { N: cost.n, r: cost.r, p: cost.p })
  const cipher = createCipheriv('aes-256-gcm', derived, nonce)
  cipher.setAAD(Buffer.from(key.peer))
  const text = Buffer.concat([cipher.update(key.seed), cipher.final(), cipher.getAuthTag()])
  const sealed = {
    kdf: 'scrypt',
    ...cost,
    ...{ salt: salt.toString('base64url'), nonce: nonce.toString('base64url') },
  }
  return JSON.stringify({
    mirrormeshKey: 1,
    type: 'ed25519',
    peer: key.peer,
    sealed: { ...sealed, text: text.toString('base64url') },
  })
}

test('a protected key opens with its passphrase alone, and no message quotes a secret', async () => {
  const text = sealedFile('geh\u00e4use')
  // What the node opens, the page opens.
  const { sealed } = JSON.parse(text) as { sealed: unknown }
  assert.deepEqual(await openSeed(sealed, key.peer, 'geha\u0308use', 'it'), key.seed)
  const opened = await openKeyFile(text, 'geha\u0308use')
  assert.equal(opened.peer, key.peer)
  await assert.rejects(openKeyFile(text, 'wrong'), /does not open with this passphrase/)
  const seed = Buffer.from(key.seed).toString('base64url')
  for (const wrong of [`{"seed":"${seed}`, '[]', 'null', `{"mirrormeshKey":2,"seed":"${seed}"}`]) {
    await assert.rejects(
      openKeyFile(wrong),
      (error: Error) => /not a key file/.test(error.message) && !error.message.includes(seed),
    )
  }
  const other = keyPairFromSeed(new Uint8Array(32).fill(8))
  await assert.rejects(
    openKeyFile(encodeKeyFile({ ...key, peer: other.peer })),
    /does not hold the key that it names/,
  )
})

test('BLAKE3 of a block is BLAKE3', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (given) => {
      assert.deepEqual(Buffer.from(blake3OfBlock(given)), Buffer.from(blake3.digest(given)))
    }),
  )
  assert.throws(() => blake3OfBlock(new Uint8Array(65)), RangeError)
})

test('an invite made in the page is read as one of the command line, and its record holds no secret', () => {
  const secret = new Uint8Array(32).fill(9)
  const addresses = ['/ip4/10.0.0.1/tcp/4001', '/ip4/10.0.0.2/tcp/4001/p2p/x/p2p-circuit']
  const self = { mesh: { id: mesh.toString(), name: 'm' }, peer: key.peer, addresses }
  const invitation = { site: 'lab', region: 'eu', expiresMs: 1_800_000_000_000, secret, self }
  const token = parseInviteToken(inviteToken(invitation, before.toString()))
  assert.deepEqual(
    { ...token, mesh: token.mesh.toString(), invite: token.invite.toString() },
    {
      mesh: mesh.toString(),
      peer: key.publicKey,
      addrs: [addresses[0]],
      secret,
      invite: before.toString(),
      site: 'lab',
      region: 'eu',
      expiresMs: 1_800_000_000_000,
    },
  )
  const body = inviteBody(invitation) as { secretHash: Uint8Array }
  assert.deepEqual(Buffer.from(body.secretHash), Buffer.from(inviteSecretHash(secret)))
  assert.ok(!Buffer.from(encodeCbor(body)).includes(Buffer.from(secret)))
})
