/** The API of a real daemon, asked by hand: what a client of another make would meet. */
import assert from 'node:assert/strict'
import { open, readdir, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import type { VerifyAnswer } from '../../../node/api/jobs/job-answers.ts'
import { foundMesh } from '../founded-mesh.ts'
import { mirrormesh, socketOf, startDaemon, succeed, succeedJson } from '../program.ts'
import { tempDir } from '../temp-dir.ts'

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

/** More than any request may have. */
const MAX_SENT = 1_500_000

function headersOf(body: string | undefined): Record<string, string | number> {
  return body === undefined
    ? {}
    : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
}

function ask(socketPath: string, method: string, path: string, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, headers: headersOf(body) }, (incoming) => {
      let text = ''
      incoming.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      incoming.on('end', () => {
        outgoing.destroy()
        resolve({
          status: incoming.statusCode ?? 0,
          type: incoming.headers['content-type'] ?? '',
          body: text,
        })
      })
    })
    outgoing.on('error', reject)
    // What is refused by its length is not sent: the answer would race with the connection's end.
    if (body !== undefined && body.length > MAX_SENT) outgoing.flushHeaders()
    else outgoing.end(body)
  })
}

test('the API answers what is malformed, missing or refused with a problem document', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const home = join(dir, 'hq')
  await foundMesh(home, { region: 'r' })
  const daemon = await startDaemon(t, home)
  const socket = socketOf(home)
  const cases: readonly [
    method: string,
    path: string,
    body: string | undefined,
    status: number,
    code: string,
  ][] = [
    ['GET', '/api/v1/none', undefined, 404, 'not-found'],
    ['GET', '/api/v1/trees/none', undefined, 404, 'not-found'],
    ['GET', '/api/v1/trees/%2e%2e%2fx/entries', undefined, 404, 'not-found'],
    ['GET', '/api/v1/jobs/0', undefined, 404, 'not-found'],
    ['GET', '/api/v1/jobs/0/events', undefined, 404, 'not-found'],
    ['DELETE', '/api/v1/jobs/0', undefined, 404, 'not-found'],
    ['GET', '/api/v1/chain/nobody', undefined, 400, 'invalid'],
    ['POST', '/api/v1/jobs', '{', 400, 'invalid'],
    ['POST', '/api/v1/jobs', '[]', 400, 'invalid'],
    ['POST', '/api/v1/jobs', '{"kind":"format"}', 400, 'invalid'],
    ['POST', '/api/v1/jobs', '{"kind":"publish","path":"/x","tree":"../y"}', 400, 'invalid'],
    ['POST', '/api/v1/jobs', '{"kind":"checkout","tree":"x","dest":"relative"}', 400, 'invalid'],
    ['POST', '/api/v1/jobs', JSON.stringify({ kind: 'publish', path: 'x'.repeat(2_000_000) }), 400, 'limit'],
    ['POST', '/api/v1/records', '{"record":"AAAA"}', 400, 'invalid'],
    ['POST', '/api/v1/records', '{"record":5}', 400, 'invalid'],
  ]
  for (const [method, path, body, status, code] of cases) {
    const answer = await ask(socket, method, path, body)
    const problem = JSON.parse(answer.body) as { status: number; code: string; title: string; detail: string }
    assert.deepEqual(
      [answer.status, problem.status, problem.code],
      [status, status, code],
      `${path} ${answer.body}`,
    )
    assert.match(answer.type, /^application\/problem\+json/)
    assert.ok(problem.title.length > 0 && problem.detail.length > 0)
  }
  const self = JSON.parse((await ask(socket, 'GET', '/api/v1/self')).body) as { pid: number; site: string }
  assert.deepEqual([self.pid, self.site], [daemon.pid, 'hq'])
})

test('a block that was damaged on disk is found by verify, never served, and mended by publishing again', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [home, source] = [join(dir, 'hq'), join(dir, 'source')]
  await writeFile(source, Buffer.alloc(100_000, 'content of the only file; '))
  await foundMesh(home, { region: 'r' })
  const daemon = await startDaemon(t, home)
  await succeed(['publish', source, '--home', home, '--tree', 'x'])
  const packs = join(home, 'store/packs')
  for (const name of await readdir(packs)) {
    const file = await open(join(packs, name), 'r+')
    const bytes = await file.readFile()
    const at = bytes.indexOf('content of the only file')
    if (at >= 0) await file.write('CONTENT', at)
    await file.close()
  }
  const bad = await mirrormesh(['verify', 'x', '--home', home, '--json'])
  assert.equal(bad.status, 1, bad.stderr)
  const answer = JSON.parse(bad.stdout) as VerifyAnswer
  assert.equal(answer.isGood, false)
  assert.equal(answer.snapshots[0]?.missing.count, 1)
  assert.match(daemon.stderr(), /store\.block-damaged/)
  const got = await mirrormesh(['get', 'x:/', join(dir, 'got'), '--home', home])
  assert.notEqual(got.status, 0)
  await assert.rejects(open(join(dir, 'got')), { code: 'ENOENT' })
  await succeed(['publish', source, '--home', home, '--tree', 'x'])
  assert.ok((await succeedJson<VerifyAnswer>(['verify', 'x', '--home', home])).isGood)
  await succeed(['get', 'x:/', join(dir, 'got'), '--home', home])
})
