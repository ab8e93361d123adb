import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMeshStateBuilder, foldRecords } from '../../src/record/mesh-state-builder.ts'
import { compareIds } from '../../src/record/state/chains.ts'
import { proofOf } from '../../src/replica/records/proof.ts'
import { type Author, admin, createAuthor, keyOf } from '../record/author.ts'
import { plain } from '../record/plain-state.ts'

const pub = keyOf('publisher')

/** The tree by all records, and by those that prove it. */
function bothWays({ mesh, records }: Author) {
  const all = createMeshStateBuilder(mesh)
  all.addAll(records)
  const proof = proofOf({ record: all.get, evidence: all.evidence }, { name: 't' })
  return { whole: all.state.trees.get('t')!, proved: foldRecords(proof, mesh).trees.get('t')!, proof }
}

function treeOfPublisher(): { author: Author; first: ReturnType<Author['head']> } {
  const author = createAuthor()
  author.tree('t', [pub])
  author.epoch('t', pub)
  return { author, first: author.head(pub, 't', undefined, 'one') }
}

test('of a head that was signed twice, the next is proved whichever of the two it follows', () => {
  const { author, first } = treeOfPublisher()
  const twins = [author.head(pub, 't', first, 'two')]
  twins.push(author.head(pub, 't', first, 'two', { after: first }))
  const [shown, other] = twins.toSorted((a, b) => compareIds(a.id, b.id))
  // It goes on from the one in its publisher's chain, and from the other in the tree's history.
  author.head(pub, 't', other, 'three', { after: shown! })
  const { whole, proved } = bothWays(author)
  assert.equal(whole.newest?.sequence, 3)
  assert.deepEqual(plain(proved), plain(whole))
})

test('a revocation on a branch of an admin chain that is not its longest is proved', () => {
  const { author, first } = treeOfPublisher()
  author.head(pub, 't', first, 'two')
  const start = author.genesis
  author.say(admin, 'revocation', {
    key: pub.publicKey,
    counter: first.counter,
    last: first.id,
    reason: 'lost',
  })
  for (const [version] of Array.from({ length: 6 }, (_, i) => [i + 1] as const)) {
    const site = { site: 'brno', labels: [], drained: false, note: '', version }
    author.say(admin, 'site', site, version === 1 ? { after: start } : {})
  }
  const { whole, proved } = bothWays(author)
  assert.equal(whole.newest?.sequence, 1)
  assert.deepEqual(plain(proved), plain(whole))
})

test('heads that do not count add nothing to a proof, however many they are', () => {
  const { author, first } = treeOfPublisher()
  const stranger = keyOf('publisher of another tree')
  author.tree('u', [stranger])
  const before = bothWays(author).proof.length
  for (let i = 0; i < 20; i++) author.head(stranger, 't', first, `${i}`)
  const { proved, proof } = bothWays(author)
  assert.equal(proof.length, before)
  assert.equal(proved.newest?.sequence, 1)
})
