/** Hooks of a real daemon: a program and a webhook, one that fails, and none of it twice. */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { foundMesh } from '../founded-mesh.ts'
import { mirrormesh, startDaemon, succeed, until } from '../program.ts'
import { tempDir } from '../temp-dir.ts'

test('hooks are run when a tree is complete and checked out, once for each snapshot', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const home = join(dir, 'home')
  const at = (...args: string[]): string[] => ['--home', home, ...args]
  const received: { body: string; signature: string | undefined }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (piece: string) => {
      body += piece
    })
    request.on('end', () => {
      received.push({ body, signature: request.headers['mirrormesh-signature'] as string | undefined })
      response.end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  await foundMesh(home, { mesh: 'acme' })
  await writeFile(join(dir, 'secret'), 'hush\n', { mode: 0o600 })
  await writeFile(
    join(dir, 'hook'),
    `#!/bin/sh\necho "$MIRRORMESH_EVENT $MIRRORMESH_TREE@$MIRRORMESH_SEQUENCE at $MIRRORMESH_SITE: $(cat "$MIRRORMESH_CHECKOUTS/file") $1" >> ${join(dir, 'ran')}\n`,
    { mode: 0o755 },
  )
  await appendFile(
    join(home, 'config.yaml'),
    [
      'hooks:',
      `  - { on: [complete], tree: builds/*, command: [${join(dir, 'hook')}, an argument] }`,
      '  - { on: [complete], command: ["false"] }',
      `  - { on: [complete, failed], tree: builds/x, url: "http://127.0.0.1:${port}/hook", secretFile: ${join(dir, 'secret')} }`,
      '  - { on: [complete], tree: other, command: ["false"] }',
      '',
    ].join('\n'),
  )
  let daemon = await startDaemon(t, home)
  const source = join(dir, 'source')
  await mkdir(source)
  const publish = async (text: string): Promise<void> => {
    await writeFile(join(source, 'file'), text)
    await succeed(at('publish', source, '--tree', 'builds/x'))
  }
  const ran = () => readFile(join(dir, 'ran'), 'utf8').catch(() => '')
  await succeed(at('tree', 'create', 'builds/x'))
  await succeed(at('pin', 'add', 'builds/x', '--site', 'hq', '--checkout', join(dir, 'out')))
  await publish('one')
  await until('the program has run', async () => (await ran()).endsWith('\n'))
  assert.equal(await ran(), 'complete builds/x@1 at hq: one an argument\n')
  await until('the one that fails has been tried', async () => /hook\.failed/.test(daemon.stderr()))
  assert.match(daemon.stderr(), /the hook false ended with 1/)
  // It waits for its next try; nothing of it is lost when the daemon goes.
  await daemon.stop()
  assert.equal(received.length, 0)
  await writeFile(
    join(home, 'config.yaml'),
    (await readFile(join(home, 'config.yaml'), 'utf8')).replace(
      '  - { on: [complete], command: ["false"] }\n',
      '',
    ),
  )
  daemon = await startDaemon(t, home)
  await until('the webhook was called', async () => received.length > 0)
  const { body, signature } = received[0]!
  const event = JSON.parse(body) as { event: string; tree: string; sequence: number; checkouts: string[] }
  assert.deepEqual(
    [event.event, event.tree, event.sequence, event.checkouts],
    ['complete', 'builds/x', 1, [join(dir, 'out')]],
  )
  assert.equal(signature, `sha256=${createHmac('sha256', 'hush').update(body).digest('hex')}`)
  await publish('two')
  await until('it was called again', async () => received.length > 1)
  await daemon.stop()
  daemon = await startDaemon(t, home)
  await publish('three')
  await until('and again, for the new one alone', async () => received.length > 2)
  assert.deepEqual(
    received.map((each) => (JSON.parse(each.body) as { sequence: number }).sequence),
    [1, 2, 3],
  )
  assert.equal((await ran()).trim().split('\n').at(-1), 'complete builds/x@3 at hq: three an argument')

  await appendFile(join(home, 'config.yaml'), '  - { on: [never], command: [x] }\n')
  const wrong = await mirrormesh(at('config', 'check'))
  assert.equal(wrong.status, 2, wrong.stderr)
  assert.match(wrong.stderr, /config\.yaml:\d+: hooks\.3\.on\.0: /)
})
