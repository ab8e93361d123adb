/** Which gateways a machine outside of the mesh asks: those that others name, within bounds, and how long it waits for one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { kindOfAddress, mayLeadTo } from '../../node/get/address-kind.ts'
import { createGateways } from '../../node/get/gateways.ts'
import { createHttpGateway, type HttpGateway } from '../../node/get/http-gateway.ts'
import { originsIn } from '../../node/get/mirror-list.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'

const page = cidOf(DAG_CBOR, utf8('a page'))

test('an address is of one kind, in whatever way it is written', () => {
  const kinds = {
    public: ['8.8.8.8', '172.32.0.1', '2606:4700::1111', '::ffff:8.8.8.8'],
    private: ['10.1.2.3', '172.16.0.1', '192.168.9.9', '100.64.0.1', 'fd00::1', '::ffff:10.0.0.1'],
    loopback: ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'],
    none: ['169.254.169.254', '::ffff:169.254.169.254', '0.0.0.0', '::', '224.0.0.1', '255.255.255.255'],
  }
  const carried = ['fe80::1', 'fe80::1%eth0', 'fec0::1', 'ff02::1', '64:ff9b::a00:1', '64:ff9b:1::a00:1']
  const more = ['2002:a00:1::', '2001:0:a00:1::', '::7f00:1', 'no address', '', '127.1', '0x7f.1']
  for (const [kind, addresses] of Object.entries({ ...kinds, none: [...kinds.none, ...carried, ...more] }))
    for (const address of addresses) assert.equal(kindOfAddress(address), kind, address)
})

test('nobody leads further inside than where he is', () => {
  const led = (['public', 'private', 'loopback', 'none'] as const).map((from) =>
    (['public', 'private', 'loopback', 'none'] as const).filter((to) => mayLeadTo(from, to)),
  )
  assert.deepEqual(led, [['public'], ['public', 'private'], ['public', 'private', 'loopback'], []])
})

test('of a mirror list only origins of sane form count, of the tree and the sequence that were asked for', () => {
  const origins = (text: string, isSecureOnly = false): string[] =>
    originsIn(text, { tree: 'builds/x', sequence: 3, isSecureOnly })
  const line = (base: string): string => `${base}/builds/x/@3+/\n`
  assert.deepEqual(
    origins(
      ['http://a', 'https://b:8443', 'http://A', 'http://10.0.0.1:8080', 'http://[fd00::1]:8080']
        .map(line)
        .join(''),
    ),
    ['http://a', 'https://b:8443', 'http://10.0.0.1:8080', 'http://[fd00::1]:8080'],
  )
  const refused = ['http://a:22', 'http://a:25', 'http://a:6000', 'http://a:10080', 'ftp://a', 'file://']
  const odd = ['http://u:p@a', 'http://a/prefix', 'http://a?x=', 'http://a#', 'javascript:', '//a', 'http://']
  const names = ['http://a b', 'http://-a', 'http://a-', 'http://a\u0000', `http://${'a'.repeat(300)}`]
  for (const each of [...refused, ...odd, ...names]) assert.deepEqual(origins(line(each)), [], each)
  assert.deepEqual(origins('http://a/builds/x/@4+/\nhttp://a/builds/y/@3+/\nhttp://a/builds/x/@3/\n'), [])
  assert.deepEqual(origins(line('http://a') + line('https://b'), true), ['https://b'])
  assert.equal(origins(Array.from({ length: 999 }, (_, at) => line(`http://a${at}`)).join('')).length, 64)
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (host, more) => {
      for (const origin of origins(`${more}\n${line(`http://${host}`)}`)) {
        const url = new URL(origin)
        assert.equal(url.origin, origin)
        assert.match(origin, /^https?:\/\/[\x21-\x7e]+$/)
      }
    }),
  )
})

test('a name that resolves to what may not be named is not connected to', async () => {
  const gateway = createHttpGateway('http://localhost:9', { admits: () => false })
  await assert.rejects(gateway.proof('/x', new AbortController().signal), {
    message: /leads to an address that a gateway may not name/,
  })
  gateway.close()
})

/** Answers after so many milliseconds of the clock's. */
function standIn(clock: VirtualClock, origin: string, tookMs: () => number) {
  const asked = { count: 0 }
  const gateway: HttpGateway = {
    origin,
    proof: async () => undefined,
    object: async () => undefined,
    mirrorList: async () => undefined,
    answeredFrom: () => undefined,
    close: () => undefined,
    block: (_, __, offset, signal) => {
      asked.count++
      return new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        if (tookMs() < 0) reject(new MirrorError('unreachable', 'gone'))
        else clock.after(tookMs(), () => resolve({ offset, status: 'have', bytes: new Uint8Array(1) }))
      })
    },
  }
  return { gateway, asked }
}

test('a gateway that takes many times as long as the others is set aside, until one of those fails', async () => {
  const clock = new VirtualClock()
  let quickMs = 50
  const [quick, slow] = [
    standIn(clock, 'http://quick', () => quickMs),
    standIn(clock, 'http://slow', () => 19_000),
  ]
  const gateways = createGateways([quick.gateway, slow.gateway], clock)
  const ask = (origin: string) =>
    gateways.network.openBlocks(origin).request({ tree: 't', page, offsets: [0] }, () => undefined)
  const asked = () => gateways.members.list('t').map(({ site }) => site)

  const alone = ask('http://slow')
  clock.advanceTo(clock.monotonicMs() + 19_500)
  await alone
  assert.deepEqual(asked(), ['http://quick', 'http://slow'], 'nothing to compare it with')

  const waiting = assert.rejects(ask('http://slow'), { code: 'timed-out' })
  for (let i = 0; i < 8; i++) {
    const one = ask('http://quick')
    clock.advanceTo(clock.monotonicMs() + 60)
    await one
  }
  assert.deepEqual(asked(), ['http://quick', 'http://slow'], 'not before it has had some seconds')
  clock.advanceTo(clock.monotonicMs() + 6_000)
  await waiting
  assert.deepEqual(asked(), ['http://quick'])
  quickMs = -1
  await assert.rejects(ask('http://quick'), { code: 'unreachable' })
  assert.deepEqual(asked(), ['http://quick', 'http://slow'])
  gateways.leave('http://quick', 'wrong bytes')
  assert.deepEqual(asked(), ['http://slow'], 'the last is never set aside')
})

test('on a slow line nobody is set aside: all take as long', async () => {
  const clock = new VirtualClock()
  const both = ['http://a', 'http://b'].map((origin, at) => standIn(clock, origin, () => 7_000 + 3_000 * at))
  const gateways = createGateways(
    both.map(({ gateway }) => gateway),
    clock,
  )
  for (let i = 0; i < 12; i++) {
    const asked = both.map(({ gateway: { origin } }) =>
      gateways.network.openBlocks(origin).request({ tree: 't', page, offsets: [0] }, () => undefined),
    )
    clock.advanceTo(clock.monotonicMs() + 11_000)
    await Promise.all(asked)
  }
  assert.equal(gateways.members.list('t').length, 2)
  assert.deepEqual([...gateways.given.values()], [12, 12])
})
