/** Firmware and boot loaders as they speak: on bare sockets, in HTTP/1.0 or 1.1, a sector at a time, broken off and begun again. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import type { Gateway } from '../../node/gateway/gateway.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { createTestMesh } from './gateway-mesh.ts'

const kernel = randomFillSync(new Uint8Array(40_000))
const iso = randomFillSync(new Uint8Array(300_000))
const mesh = await createTestMesh()
let gateway: Gateway

before(async () => {
  const version = await mesh.publish('os', [
    [
      'boot',
      [
        ['vmlinuz', kernel],
        ['disk.iso', iso],
        ['grubx64.efi', kernel],
        ['empty', new Uint8Array(0)],
      ],
    ],
  ])
  mesh.tag('os', 'ga', version)
  await mesh.publish('os', [['boot', [['vmlinuz', utf8('newer')]]]])
  gateway = await mesh.start()
})
after(() => gateway.stop(0))

interface Answer {
  readonly statusLine: string
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

/** A connection on which one asks and reads as little as is needed, as a boot loader does: no client library is between. */
async function openConnection() {
  const [host, port] = gateway.address().split(':')
  const socket: Socket = connect(Number(port), host)
  await once(socket, 'connect')
  let held = Buffer.alloc(0)
  let isEnded = false
  let wake = (): void => undefined
  socket.on('data', (piece) => {
    held = Buffer.concat([held, piece])
    wake()
  })
  socket.on('end', () => {
    isEnded = true
    wake()
  })
  const more = (): Promise<void> => {
    if (isEnded) throw new Error('the connection ended')
    return new Promise((resolve) => {
      wake = resolve
    })
  }
  return {
    socket,
    async ask(text: string): Promise<Answer> {
      socket.write(text)
      for (;;) {
        const end = held.indexOf('\r\n\r\n')
        if (end < 0) {
          await more()
          continue
        }
        const [statusLine = '', ...lines] = held.subarray(0, end).toString('latin1').split('\r\n')
        held = held.subarray(end + 4)
        const headers = new Map(
          lines.map((line) => [
            line.slice(0, line.indexOf(':')).toLowerCase(),
            line.slice(line.indexOf(':') + 1).trim(),
          ]),
        )
        const length = headers.get('content-length')
        let body: Buffer
        if (text.startsWith('HEAD')) body = Buffer.alloc(0)
        else if (length === undefined) {
          while (!isEnded) await more()
          body = held
        } else {
          while (held.length < Number(length)) await more()
          body = held.subarray(0, Number(length))
          held = held.subarray(Number(length))
        }
        return { statusLine, status: Number(statusLine.split(' ')[1]), headers, body }
      }
    },
    /** Resolves when the gateway has closed it. */
    async closed(): Promise<void> {
      while (!isEnded) await more()
    },
  }
}

test('HTTP/1.0 without a Host header gets a file with its length, and the end of the connection', async () => {
  for (const path of ['/os/@ga/boot/vmlinuz', '/os/@1/boot/vmlinuz']) {
    const { ask, closed } = await openConnection()
    const answer = await ask(`GET ${path} HTTP/1.0\r\n\r\n`)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('content-length'), String(kernel.length))
    assert.equal(answer.headers.get('transfer-encoding'), undefined)
    assert.equal(answer.headers.get('location'), undefined)
    assert.equal(answer.headers.get('accept-ranges'), 'bytes')
    assert.ok(answer.body.equals(kernel))
    await closed()
  }
  const { ask } = await openConnection()
  const empty = await ask('GET /os/@ga/boot/empty HTTP/1.0\r\n\r\n')
  assert.deepEqual([empty.status, empty.headers.get('content-length')], [200, '0'])
})

test('HTTP/1.0 gets no chunks, where no length is known either', async () => {
  for (const path of ['/os/@ga/boot/?format=json', '/os/@ga/boot/?format=tar', '/os/@ga/boot/?format=car']) {
    const { ask } = await openConnection()
    const answer = await ask(`GET ${path} HTTP/1.0\r\n\r\n`)
    assert.equal(answer.status, 200, path)
    assert.equal(answer.headers.get('transfer-encoding'), undefined, path)
    assert.ok(answer.body.length > 300, path)
  }
})

test('an error has its length too, and HTTP/1.1 without a Host header is one', async () => {
  const { ask } = await openConnection()
  const missing = await ask('GET /os/@ga/boot/none HTTP/1.1\r\nHost: x\r\n\r\n')
  assert.equal(missing.status, 404)
  assert.equal(Number(missing.headers.get('content-length')), missing.body.length)
  const other = await openConnection()
  assert.equal((await other.ask('GET /os/@ga/boot/vmlinuz HTTP/1.1\r\n\r\n')).status, 400)
})

test('a disk is read by sectors on one connection, after its size was asked for, as iPXE and UEFI do', async () => {
  const { ask, socket } = await openConnection()
  const path = '/os/@ga/boot/disk.iso'
  const head = await ask(`HEAD ${path} HTTP/1.1\r\nHost: lab\r\nConnection: keep-alive\r\n\r\n`)
  assert.deepEqual([head.status, head.headers.get('content-length')], [200, String(iso.length)])
  for (const sector of [16, 0, 100, 146, 17]) {
    const [first, last] = [sector * 2048, Math.min(iso.length, (sector + 1) * 2048) - 1]
    const part = await ask(
      `GET ${path} HTTP/1.1\r\nHost: lab\r\nConnection: keep-alive\r\nRange: bytes=${first}-${last}\r\n\r\n`,
    )
    assert.equal(part.status, 206)
    assert.equal(part.headers.get('content-range'), `bytes ${first}-${last}/${iso.length}`)
    assert.ok(part.body.equals(iso.subarray(first, last + 1)))
  }
  const behind = await ask(`GET ${path} HTTP/1.1\r\nHost: lab\r\nRange: bytes=${iso.length}-\r\n\r\n`)
  assert.deepEqual([behind.status, behind.headers.get('content-range')], [416, `bytes */${iso.length}`])
  socket.destroy()
})

test('what was broken off goes on from a byte on a new connection, as GRUB seeks', async () => {
  const path = '/os/@ga/boot/disk.iso'
  const first = await openConnection()
  first.socket.write(`GET ${path} HTTP/1.1\r\nHost: lab\r\nUser-Agent: GRUB 2.12\r\n\r\n`)
  await once(first.socket, 'data')
  first.socket.destroy()
  const { ask } = await openConnection()
  const rest = await ask(
    `GET ${path} HTTP/1.1\r\nHost: lab\r\nUser-Agent: GRUB 2.12\r\nRange: bytes=123456-\r\n\r\n`,
  )
  assert.equal(rest.status, 206)
  assert.ok(rest.body.equals(iso.subarray(123_456)))
})

test('a whole address in the request line is an address, and the type that UEFI knows is said', async () => {
  const { ask } = await openConnection()
  const answer = await ask(
    'GET http://lab.example:8080/os/@ga/boot/vmlinuz HTTP/1.1\r\nHost: lab.example:8080\r\n\r\n',
  )
  assert.equal(answer.status, 200)
  assert.ok(answer.body.equals(kernel))
  const head = await ask('HEAD /os/@ga/boot/grubx64.efi HTTP/1.1\r\nHost: lab\r\n\r\n')
  assert.equal(head.headers.get('content-type'), 'application/efi')
})
