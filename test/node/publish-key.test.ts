/** Publishing from a machine that runs no node, on real processes: with a publisher's key, through a node that has another. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TreeDocument } from '../../node/api/answers.ts'
import type { WaitAnswer } from '../../node/api/jobs/job-answers.ts'
import type { OpenedUploadDocument } from '../../node/api/routes/upload-routes.ts'
import { createApiClient } from '../../node/cli/api-client.ts'
import type { ThroughResult } from '../../node/cli/publish-through.ts'
import { loadKey } from '../../node/keys.ts'
import { choosePaths } from '../../node/paths.ts'
import { cidOf, cidToKeyBytes, DAG_CBOR, parseCid, RAW } from '../../src/block/cid.ts'
import { draftRecord, signRecord } from '../../src/record/draft.ts'
import { generateKeyPair } from '../../src/record/key.ts'
import { signUpload } from '../../src/record/upload-proof.ts'
import { freePort, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'logs/brq'
type Result = ThroughResult & { readonly waited?: WaitAnswer }

test('a machine with a publisher key and no node publishes through one that it may ask', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const homes = { hq: join(dir, 'hq'), lab: join(dir, 'lab') }
  const at = (home: string, ...args: string[]): string[] => ['--home', home, ...args]
  const listen = ['--listen', '127.0.0.1:0', '--http', 'off']
  const source = join(dir, 'source')
  await mkdir(join(source, 'sub'), { recursive: true })
  await writeFile(join(source, 'sub/large'), randomBytes(16_000_000))
  for (let i = 0; i < 20; i++) await writeFile(join(source, `file-${i}`), `content ${i}`)
  await succeed(at(homes.hq, 'init', '--mesh', 'acme', '--site', 'hq', '--region', 'us', ...listen))
  const apiListen = `127.0.0.1:${await freePort()}`
  const hq = await startDaemon(t, homes.hq, { MIRRORMESH_API_LISTEN: apiListen })
  const token = await succeed(at(homes.hq, 'invite', '--site', 'lab', '--region', 'eu'))
  await succeed(at(homes.lab, 'join', token.trim(), ...listen))
  await startDaemon(t, homes.lab)
  const keyFile = join(dir, 'ci.key')
  await succeed(at(homes.hq, 'admin', 'new-key', keyFile))
  const key = await loadKey(keyFile, 'the key')
  await succeed(at(homes.hq, 'pin', 'add', 'logs/*', '--site', 'lab'))
  const publish = (...args: string[]): string[] => at(homes.hq, 'publish', source, '--key', keyFile, ...args)
  const head = async () => (await succeedJson<TreeDocument>(at(homes.hq, 'tree', 'show', TREE))).head

  await t.test('without a grant for the name nothing is taken', async () => {
    const outcome = await mirrormesh(publish('--tree', TREE))
    assert.equal(outcome.status, 6, outcome.stderr)
    assert.match(outcome.stderr, /no tree logs\/brq, and no grant lets 12D3KooW\w+ create it/)
    assert.equal((await mirrormesh(publish('--tree', TREE, '--dry-run'))).status, 2)
  })

  await t.test('a publish that is killed leaves the mesh as it was, and the next one goes on', async () => {
    await succeed(
      at(homes.hq, 'grant', 'add', key.peer, '--role', 'publisher', '--tree', 'logs/*', '--name', 'ci'),
    )
    await mirrormesh(publish('--tree', TREE), {
      env: { TMPDIR: dir },
      onStart(child) {
        void until('an upload is open', async () => /upload\.opened/.test(hq.stderr()))
          .then(() => child.kill('SIGKILL'))
          .catch(() => undefined)
      },
    })
    assert.equal(await head(), null)
  })

  await t.test('the head goes out when the node has it all, and other sites fetch it', async () => {
    const first = await succeedJson<Result>(publish('--tree', TREE, '--wait', 'lab', '--timeout', '100s'))
    assert.deepEqual([first.sequence, first.isNew, first.files, first.waited?.sites], [1, true, 21, ['lab']])
    const out = join(dir, 'out')
    await succeed(at(homes.lab, 'checkout', TREE, out))
    for (const name of ['sub/large', 'file-7'])
      assert.deepEqual(await readFile(join(out, name)), await readFile(join(source, name)))
    await writeFile(join(source, 'file-7'), 'changed')
    const second = await succeedJson<Result>(publish('--tree', TREE))
    assert.deepEqual([second.sequence, second.isNew], [2, true])
    assert.ok(second.sentBytes < 100_000, `${second.sentBytes} bytes for a small change`)
    const same = await succeedJson<Result>(publish('--tree', TREE))
    assert.deepEqual([same.sequence, same.isNew], [2, false])
    assert.match(
      await succeed(at(homes.hq, 'events', '--kind', 'head')),
      new RegExp(`${key.peer.slice(0, 12)}.* published logs/brq@2`),
    )
    assert.match(await succeed(publish('--tree', TREE, '--no-exclude')), /^logs\/brq@2 .*\(unchanged\)/)
  })

  await t.test('over the network it takes a token that may operate the node, and no more', async () => {
    await writeFile(join(source, 'file-8'), 'changed too')
    const through = async (scope: string): Promise<readonly string[]> => {
      const text = await succeed(at(homes.hq, 'token', 'create', '--scope', scope, '--name', scope))
      const file = join(dir, `token-${scope}`)
      await writeFile(file, text, { mode: 0o600 })
      return [
        ...['--api', `http://${apiListen}`, '--token-file', file],
        ...['publish', source, '--key', keyFile, '--tree', TREE, '--json'],
      ]
    }
    const refused = await mirrormesh(await through('read'))
    assert.equal(refused.status, 6, refused.stderr)
    const third = JSON.parse(await succeed(await through('operate'))) as Result
    assert.deepEqual([third.sequence, third.isNew], [3, true])
  })

  await t.test('what has lost much waits for a yes, and other names are not its', async () => {
    const small = join(dir, 'small')
    await mkdir(small)
    await writeFile(join(small, 'file-1'), 'content 1')
    const lost = await mirrormesh(at(homes.hq, 'publish', small, '--key', keyFile, '--tree', TREE))
    assert.equal(lost.status, 6, lost.stderr)
    assert.match(lost.stderr, /--accept-shrink/)
    assert.equal((await mirrormesh(publish('--tree', 'builds/x'))).status, 6)
    assert.equal((await head())?.sequence, 3)
  })

  await t.test(
    'a client that means harm gets nothing stored that is not what it says, and no head',
    async () => {
      const api = createApiClient({
        paths: choosePaths({ home: homes.hq, env: {}, uid: 0 }),
        self: 'mirrormesh',
      })
      const mesh = parseCid((await hq.status()).mesh.id)
      const open = (by = key, signer = key, timeMs = Date.now()) =>
        api.post<OpenedUploadDocument>('/api/v1/uploads', {
          ...{ tree: TREE, publisher: by.peer, timeMs },
          signature: Buffer.from(signUpload(signer, { mesh, tree: TREE, timeMs })).toString('base64'),
        })
      const mallory = generateKeyPair()
      await assert.rejects(open(key, mallory), /has not signed this upload/)
      await assert.rejects(open(key, key, Date.now() - 3_600_000), /has not signed this upload/)
      await assert.rejects(open(mallory, mallory), /not the publisher/)
      const { id } = await open()
      const bytes = Buffer.from('some bytes')
      const length = Buffer.from([0, 0, 0, bytes.length])
      const put = (...parts: Uint8Array[]) => api.put(`/api/v1/uploads/${id}/blocks`, Buffer.concat(parts))
      await assert.rejects(put(cidToKeyBytes(cidOf(RAW, Buffer.from('other'))), length, bytes), {
        code: 'invalid',
      })
      await assert.rejects(put(cidToKeyBytes(cidOf(RAW, bytes)), length), { code: 'invalid' })
      await assert.rejects(put(bytes), { code: 'invalid' })
      await put(cidToKeyBytes(cidOf(RAW, bytes)), length, bytes)
      const finish = (snapshot: string) => api.post(`/api/v1/uploads/${id}/finish`, { snapshot })
      await assert.rejects(finish(cidOf(RAW, bytes).toString()), { code: 'invalid' })
      await assert.rejects(finish(cidOf(DAG_CBOR, Buffer.from('nowhere')).toString()), { code: 'invalid' })
      // A head of what was never proved complete.
      const chain = await api.get<{ counter: number; prev: string }>(`/api/v1/chain/${key.peer}`)
      const now = (await head())!
      const draft = draftRecord({
        kind: 'head',
        body: {
          ...{ tree: TREE, epoch: 1, sequence: 4, previous: parseCid(now.id), counts: {} },
          snapshot: cidOf(DAG_CBOR, Buffer.from('nowhere')),
        },
        ...{ mesh, issuer: key.publicKey, timeMs: Date.now() },
        tip: { counter: chain.counter, id: parseCid(chain.prev) },
      })
      const record = Buffer.from(signRecord(draft, key)).toString('base64')
      await assert.rejects(api.post(`/api/v1/uploads/${id}/head`, { record }), /proved complete/)
      await api.delete(`/api/v1/uploads/${id}`)
      await assert.rejects(put(cidToKeyBytes(cidOf(RAW, bytes)), length, bytes), { code: 'not-found' })
      assert.equal((await head())?.sequence, 3)
    },
  )
})
