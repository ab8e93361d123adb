/** HTTPS and the access log of the gateway: with curl, a certificate that is renewed, and a log that is rotated. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { readFile, rename, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { formatAccess } from '../../node/gateway/access-log.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { skipWithout } from '../needs.ts'
import { createTestMesh } from './gateway-mesh.ts'
import { until } from './program.ts'
import { tempDir } from './temp-dir.ts'

const run = promisify(execFile)

function makeCertificate(dir: string, name: string): { certificate: string; key: string } {
  const files = { certificate: join(dir, `${name}.pem`), key: join(dir, `${name}.key`) }
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'],
      ...['-keyout', files.key, '-out', files.certificate],
    ],
    { stdio: 'pipe' },
  )
  return files
}

test('with a certificate the gateway speaks HTTPS, and takes over a renewed one', {
  skip: skipWithout('openssl', 'curl'),
}, async (t) => {
  const dir = await tempDir(t)
  const mesh = await createTestMesh()
  await mesh.publish('builds', [['a.txt', utf8('over tls')]])
  const [first, second] = [makeCertificate(dir, 'first'), makeCertificate(dir, 'second')]
  const clock = new VirtualClock()
  const gateway = await mesh.start({ certificate: first }, { clock })
  t.after(() => gateway.stop(0))
  const get = (ca: string) =>
    run('curl', ['-sS', '--fail', '--cacert', ca, `https://${gateway.address()}/builds/a.txt`])
  assert.equal((await get(first.certificate)).stdout, 'over tls')
  await assert.rejects(get(second.certificate), /certificate/)
  await assert.rejects(run('curl', ['-sS', '--fail', `http://${gateway.address()}/builds/a.txt`]))

  // Half of a renewal is not taken; the whole one is.
  await writeFile(first.certificate, await readFile(second.certificate))
  clock.advanceTo(clock.monotonicMs() + 60_000)
  assert.ok(mesh.events.some(({ event }) => event === 'gateway.certificate-unusable'))
  await writeFile(first.key, await readFile(second.key))
  clock.advanceTo(clock.monotonicMs() + 60_000)
  assert.ok(mesh.events.some(({ event }) => event === 'gateway.certificate-renewed'))
  assert.equal((await get(second.certificate)).stdout, 'over tls')
})

test('a client that begins no handshake holds its own connections, and not those of others', {
  skip: skipWithout('openssl', 'curl'),
}, async (t) => {
  const dir = await tempDir(t)
  const mesh = await createTestMesh()
  await mesh.publish('builds', [['a.txt', utf8('over tls')]])
  const certificate = makeCertificate(dir, 'only')
  const limits = { maxConnections: 4, maxClientConnections: 2 }
  const gateway = await mesh.start({ certificate, ...limits }, { clock: systemClock })
  // Which does not wait for those that are still open either.
  t.after(() => gateway.stop(0))
  const [host, port] = gateway.address().split(':')
  let closed = 0
  for (let i = 0; i < 8; i++) {
    const socket = net.connect({ host: host!, port: Number(port), localAddress: '127.0.0.2' })
    t.after(() => socket.destroy())
    socket
      .resume()
      .on('error', () => undefined)
      .once('close', () => closed++)
  }
  await until('it holds what it may', async () => closed === 6)
  const url = `https://${gateway.address()}/builds/a.txt`
  const { stdout } = await run('curl', ['-sS', '--fail', '--cacert', certificate.certificate, url])
  assert.equal(stdout, 'over tls')
})

test('files that are no certificate and its key are told at the start', {
  skip: skipWithout('openssl'),
}, async (t) => {
  const dir = await tempDir(t)
  const mesh = await createTestMesh()
  const [one, other] = [makeCertificate(dir, 'one'), makeCertificate(dir, 'other')]
  await assert.rejects(
    mesh.start({ certificate: { ...one, key: other.key } }),
    /are not a certificate and its key/,
  )
  await assert.rejects(
    mesh.start({ certificate: { ...one, key: join(dir, 'none') } }),
    /read the key of the gateway/,
  )
})

test('each request is a line of the access log, and a rotated log is begun anew', async (t) => {
  const dir = await tempDir(t)
  const file = join(dir, 'access.log')
  const mesh = await createTestMesh()
  await mesh.publish('builds', [['a.txt', utf8('twelve bytes')]])
  const clock = new VirtualClock()
  const gateway = await mesh.start({ accessLog: file }, { clock })
  t.after(() => gateway.stop(0))
  const get = async (path: string): Promise<void> => {
    const answer = await fetch(`http://${gateway.address()}${path}`, { headers: { 'user-agent': 'lab "7"' } })
    await answer.text()
  }
  const lines = async (of: string): Promise<string[]> =>
    (await readFile(of, 'utf8').catch(() => '')).split('\n').filter(Boolean)
  await get('/builds/a.txt')
  await get('/builds/none')
  await until('both are written', async () => (await lines(file)).length === 2)
  const [good, missing] = await lines(file)
  assert.match(
    good!,
    /^127\.0\.0\.1 - - \[\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/builds\/a\.txt HTTP\/1\.1" 200 12 "-" "lab \\"7\\""$/,
  )
  assert.match(missing!, /"GET \/builds\/none HTTP\/1\.1" 404 /)
  await rename(file, `${file}.1`)
  clock.advanceTo(clock.monotonicMs() + 5000)
  await get('/builds/a.txt')
  await until('the new file has a line', async () => (await lines(file)).length === 1)
  assert.equal((await lines(`${file}.1`)).length, 2)
})

test('what a client says cannot end a line or a field', () => {
  const request = {
    socket: {},
    method: 'GET',
    url: '/a"b\r\n1.2.3.4 - -',
    httpVersion: '1.1',
    headers: { 'user-agent': '\u001b[31m\u00e9\\' },
  } as unknown as IncomingMessage
  assert.equal(
    formatAccess(request, 200, 0, Date.UTC(2026, 0, 9, 8, 7, 6)),
    '- - - [09/Jan/2026:08:07:06 +0000] "GET /a\\"b\\x0d\\x0a1.2.3.4 - - HTTP/1.1" 200 - "-" "\\x1b[31m\\xc3\\xa9\\\\"\n',
  )
})
