/** A member that says that it holds a snapshot, and answers wrongly when real daemons have it show that. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { PublishAnswer } from '../../node/api/jobs/job-answers.ts'
import type { PinTree } from '../../node/cli/verbs/pin-show.ts'
import { type Cid, cidToKeyBytes, parseCid } from '../../src/block/cid.ts'
import { decodeCbor, encodeCbor } from '../../src/block/codec.ts'
import { blake3 } from '../../src/block/hash.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { affinity } from '../../src/replica/scheduler/rendezvous.ts'
import { encodeAnnouncement } from '../../src/replica/status/status-announcement.ts'
import { ask, askQuestion, BLOCKS, OBJECT, startHostile, treeName, u16, u64 } from './hostile-member.ts'
import { startDaemon, succeed, succeedJson, until } from './program.ts'
import { type SignedSite, signMesh } from './signed-mesh.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/nightly'

test('a copy that a member says it has counts for nothing until it shows it, whatever it answers', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const mesh = await signMesh(dir, {
    regions: { hq: 'us', lab: 'eu', mallory: 'eu' },
    tree: TREE,
    pinned: ['lab', 'mallory'],
  })
  const [hq, lab, mallory] = ['hq', 'lab', 'mallory'].map((name) => mesh.site(name)) as [
    SignedSite,
    SignedSite,
    SignedSite,
  ]
  const liar = await startHostile(t, mallory)
  const [hqDaemon, labDaemon] = await Promise.all([startDaemon(t, hq.home), startDaemon(t, lab.home)])
  await until('they are connected', async () => liar.node.getConnections().length >= 2)
  await succeed(['pin', 'add', TREE, '--all', '--min-copies', '3', '--home', hq.home])

  // Whoever is first in this order asks at once; were it the liar, the others would wait for a while.
  const source = join(dir, 'source')
  await mkdir(source)
  let published: PublishAnswer
  let order: readonly SignedSite[]
  do {
    await writeFile(join(source, 'file'), randomBytes(1000))
    published = await succeedJson<PublishAnswer>(['publish', source, '--home', hq.home, '--tree', TREE])
    const rank = ({ key }: SignedSite): number => affinity(key.peer, published.snapshot)
    order = [hq, lab, mallory].toSorted((a, b) => rank(b) - rank(a))
  } while (order[0] === mallory)
  const { sequence } = published
  await succeed(['wait', TREE, '--sites', 'lab', '--timeout', '120s', '--home', hq.home])
  const snapshot = parseCid(published.snapshot)
  const asking = order[0] === hq ? hqDaemon : labDaemon
  const toOrigin = await liar.dial(hq)
  const others = { [hq.key.peer]: await liar.dial(lab), [lab.key.peer]: toOrigin }

  let announcedAtMs = Number.NEGATIVE_INFINITY
  /** Once a second: of one author no more is heard. Of another version it is asked again at once. */
  const announce = async (version: string): Promise<void> => {
    if (performance.now() - announcedAtMs < 1000) return
    announcedAtMs = performance.now()
    await liar.announce(
      mesh.mesh.genesis.id,
      encodeAnnouncement({
        timeMs: Date.now(),
        version,
        addresses: [],
        trees: [
          {
            tree: TREE,
            completeSequence: sequence,
            completeSnapshot: published.snapshot,
            isFetching: false,
            fetchingSnapshot: null,
            missingBytes: null,
            reason: '',
            checkouts: [],
            alsoComplete: [],
          },
        ],
        bytesSent: 0,
        bytesReceived: 0,
      }),
    )
  }
  let answer = async (question: Buffer, asker: string): Promise<Uint8Array> =>
    (await askQuestion(others[asker]!, question)).body
  await liar.answerQuestions(async (question, asker) => {
    const { q } = decodeCbor(new Uint8Array(question), 'a question') as { q: string }
    if (q !== 'possession') return undefined
    return answer(question, asker)
  })
  const copies = async (): Promise<readonly string[]> => {
    const shown = ['pin', 'show', TREE, '--all', '--home', asking.home]
    const { trees } = await succeedJson<{ trees: PinTree[] }>(shown)
    return (trees[0]?.copies?.sites ?? []).map(({ site }) => site)
  }
  const failures = (): number => asking.stderr().split('"event":"copies.not-shown"').length - 1

  await t.test('what another answers for it is not its own', async () => {
    await until('it is asked', async () => {
      await announce('0.1')
      return failures() > 0
    })
    assert.match(asking.stderr(), /its answer is wrong/)
  })

  await t.test('a digest of its own making neither, and then there is an alarm', async () => {
    answer = async () => encodeCbor({ h: randomBytes(32) })
    await until('it is asked again', async () => {
      await announce('0.2')
      return failures() > 1
    })
    const alarm = await until('there is an alarm', async () =>
      (await asking.status()).alarms.find(({ kind }) => kind === 'copy-not-shown'),
    )
    assert.equal(alarm.subject, 'mallory')
    assert.ok(!(await copies()).includes('mallory'))
  })

  await t.test('of the blocks themselves it counts', async () => {
    answer = (question) => show(question, mallory.key.peer)
    await until('its copy is counted', async () => {
      await announce('0.3')
      return (await copies()).includes('mallory')
    })
    assert.ok(!(await asking.status()).alarms.some(({ kind }) => kind === 'copy-not-shown'))
  })

  /** As docs/protocols.md has it, with blocks that the origin gives. */
  async function show(question: Buffer, peer: string): Promise<Uint8Array> {
    const { nonce, at } = decodeCbor(new Uint8Array(question), 'a question') as {
      nonce: Uint8Array
      at: number[]
    }
    const objects = await toOrigin.newStream(OBJECT)
    const object = async (cid: Cid, id: number): Promise<Buffer> =>
      (await ask(objects, id, treeName(TREE), cidToKeyBytes(cid))).data[0]!
    const { index } = decodeSnapshot(snapshot, await object(snapshot, 1))
    await object(index, 2)
    const page = [treeName(TREE), cidToKeyBytes(index)]
    const blocks = await toOrigin.newStream(BLOCKS)
    const { data } = await ask(blocks, 1, ...page, u16(at.length), ...at.map(u16))
    const inOrder = data.toSorted((a, b) => a.readUInt16BE(0) - b.readUInt16BE(0))
    const parts = [Buffer.from(peer), ...inOrder.map((each) => each.subarray(7))]
    const digest = blake3.keyed(
      nonce,
      parts.flatMap((part) => [u64(part.length), part]),
    )
    await Promise.all([objects.close(), blocks.close()])
    return encodeCbor({ h: digest })
  }
})
