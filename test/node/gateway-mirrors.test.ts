import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { Gateway } from '../../node/gateway/gateway.ts'
import { metalink4 } from '../../node/gateway/metalink.ts'
import { publicUrlOf } from '../../node/gateway/public-url.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { SiteStatus, StatusDocument } from '../../src/replica/status/status.ts'
import { NO_TOPOLOGY, type Topology } from '../../src/topology/topology.ts'
import { type AskOptions, askGateway } from './gateway-client.ts'
import { createTestMesh, emptyStatus, type Node } from './gateway-mesh.ts'

const TREE = 'builds/rhel'
const content = utf8('the metadata')
const sha256 = createHash('sha256').update(content).digest()

interface Site extends Partial<SiteStatus> {
  readonly site: string
  /** What it is complete at, the newest first. */
  readonly has?: readonly number[]
}

function statusOf(sites: readonly Site[]): StatusDocument {
  const base = emptyStatus()
  const [self] = base.sites
  return {
    ...base,
    sites: [
      { ...self!, ...sites.find(({ site }) => site === 'hq') },
      ...sites
        .filter(({ site }) => site !== 'hq')
        .map(({ has: _has, ...site }) => ({
          ...self!,
          region: 'eu',
          peer: site.site,
          state: 'up' as const,
          url: `http://${site.site}.example/`,
          ...site,
        })),
    ],
    trees: [
      {
        tree: TREE,
        epoch: 1,
        sequence: 2,
        snapshot: null,
        publisher: null,
        files: null,
        bytes: null,
        sites: sites.map(({ site, has = [] }) => ({
          site,
          sequence: has[0] ?? null,
          alsoComplete: has.slice(1),
          state: 'complete',
          missingBytes: 0,
          checkouts: [],
        })),
      },
    ],
  }
}

async function withSites(
  sites: readonly Site[],
  check: (
    ask: (path: string, options?: AskOptions) => ReturnType<typeof askGateway>,
    gateway: Gateway,
  ) => Promise<void>,
  { topology = NO_TOPOLOGY, isComplete = true }: { topology?: Topology; isComplete?: boolean } = {},
): Promise<void> {
  const mesh = await createTestMesh()
  const clock = new VirtualClock()
  await mesh.publish(TREE, [['gone', utf8('1')]], { timeMs: clock.nowMs() })
  await mesh.publish(
    TREE,
    [
      ['a b', utf8('spaced')],
      ['repodata', [['repomd.xml', content]]],
      [Uint8Array.of(0xff, 0x2b), utf8('raw')],
    ],
    { timeMs: clock.nowMs(), isComplete },
  )
  const gateway = await mesh.start({}, { clock, topology, readStatus: () => statusOf(sites) })
  try {
    await check((path, options) => askGateway(gateway, path, options), gateway)
  } finally {
    await gateway.stop(0)
  }
}

const lines = (text: Buffer): string[] => text.toString().trim().split('\n')

test('a mirror list names the sites that are complete, up, not drained and known, by one sequence', () =>
  withSites(
    [
      { site: 'hq', url: 'http://hq.example/', has: [2, 1] },
      { site: 'lab-a', has: [2] },
      { site: 'lab-b', has: [3, 2, 1], region: 'us' },
      { site: 'behind', has: [1] },
      { site: 'silent', has: [2], state: 'silent' },
      { site: 'drained', has: [2], drained: true },
      { site: 'nameless', has: [2], url: null },
    ],
    async (ask) => {
      const answer = await ask(`/mirrorlist?tree=${TREE}`)
      assert.equal(answer.status, 200)
      assert.equal(answer.headers['content-type'], 'text/plain; charset=utf-8')
      assert.match(String(answer.headers['cache-control']), /private/)
      assert.deepEqual(lines(answer.body), [
        `http://hq.example/${TREE}/@2+/`,
        `http://lab-a.example/${TREE}/@2+/`,
        `http://lab-b.example/${TREE}/@2+/`,
      ])
      const old = await ask(`/mirrorlist?tree=${TREE}&version=1&path=os/a%20b`)
      assert.deepEqual(lines(old.body).sort(), [
        `http://behind.example/${TREE}/@1+/os/a%20b`,
        `http://hq.example/${TREE}/@1+/os/a%20b`,
        `http://lab-b.example/${TREE}/@1+/os/a%20b`,
      ])
      const head = await ask(`/mirrorlist?tree=${TREE}`, { method: 'HEAD' })
      assert.equal(head.headers['content-length'], String(answer.body.length))
      assert.equal(head.body.length, 0)
    },
  ))

test('a node that nobody has named is called as the client called it', () =>
  withSites([{ site: 'hq', has: [2] }], async (ask, gateway) => {
    const answer = await ask(`/mirrorlist?tree=${TREE}`)
    assert.deepEqual(lines(answer.body), [`http://${gateway.address()}/${TREE}/@2+/`])
    const named = await ask(`/mirrorlist?tree=${TREE}`, { headers: { host: 'mirror.example' } })
    assert.deepEqual(lines(named.body), [`http://mirror.example/${TREE}/@2+/`])
    const evil = await ask(`/mirrorlist?tree=${TREE}`, { headers: { host: 'user:x@evil.example/?' } })
    assert.equal(evil.status, 503)
  }))

test('nearest first: the site of the client, its region, then what the paths cost', async () => {
  const sites: Site[] = [
    { site: 'hq', url: 'http://hq.example/', has: [2] },
    { site: 'lab-a', has: [2] },
    { site: 'lab-us', has: [2], region: 'us' },
    { site: 'lab-jp', has: [2], region: 'jp' },
    { site: 'office-us', region: 'us' },
  ]
  const topology: Topology = {
    regions: [],
    sites: [
      { site: 'lab-jp', subnets: ['127.7.0.0/16'] },
      { site: 'office-us', subnets: ['127.5.0.0/16'] },
    ],
    paths: [
      { between: ['region:eu', 'region:jp'], rttMs: 240 },
      { between: ['region:eu', 'region:us'], rttMs: 90 },
      { between: ['region:jp', 'region:us'], rttMs: 110 },
    ],
  }
  await withSites(
    sites,
    async (ask) => {
      const order = async (from: string): Promise<string[]> =>
        lines((await ask(`/mirrorlist?tree=${TREE}`, { from })).body).map(
          (line) => /http:\/\/([^.]+)/.exec(line)?.[1] ?? line,
        )
      assert.deepEqual(await order('127.0.0.9'), ['hq', 'lab-a', 'lab-us', 'lab-jp'])
      assert.deepEqual((await order('127.5.0.1')).slice(0, 1), ['lab-us'])
      assert.deepEqual((await order('127.5.0.1')).at(-1), 'lab-jp')
      assert.deepEqual((await order('127.7.0.1')).slice(0, 2), ['lab-jp', 'lab-us'])
      const redirect = await ask(`/nearest/${TREE}/repodata/repomd.xml?x=1`, { from: '127.7.0.1' })
      assert.equal(redirect.status, 302)
      assert.equal(redirect.headers.location, `http://lab-jp.example/${TREE}/@2/repodata/repomd.xml?x=1`)
      assert.match(String(redirect.headers['cache-control']), /no-store/)
      const here = await ask(`/nearest/${TREE}/a%20b`)
      assert.equal(here.headers.location, `/${TREE}/@2/a%20b`)
    },
    { topology },
  )
})

test('a drained node sends its clients elsewhere, and serves those who have nowhere else to go', async () => {
  const drained: Site = { site: 'hq', url: 'http://hq.example/', has: [2], drained: true }
  await withSites([drained, { site: 'lab-a', has: [2] }], async (ask) => {
    assert.deepEqual(lines((await ask(`/mirrorlist?tree=${TREE}`)).body), [
      `http://lab-a.example/${TREE}/@2+/`,
    ])
    assert.equal(
      (await ask(`/nearest/${TREE}/a%20b`)).headers.location,
      `http://lab-a.example/${TREE}/@2/a%20b`,
    )
  })
  await withSites([drained], async (ask) => {
    assert.deepEqual(lines((await ask(`/mirrorlist?tree=${TREE}`)).body), [`http://hq.example/${TREE}/@2+/`])
  })
})

test('the nearest redirect knows moved paths, versions and folders, and never leads to a redirect of its kind', () =>
  withSites(
    [
      { site: 'hq', has: [2, 1] },
      { site: 'lab-a', has: [2, 1] },
    ],
    async (ask) => {
      for (const [path, location] of [
        ['gone', '@1/gone'],
        ['@1/gone', '@1/gone'],
        ['', '@2/'],
        ['repodata/', '@2/repodata/'],
        ['@2/', '@2/'],
        ['%FF%2B', '@2/%FF%2B'],
      ] as const) {
        const answer = await ask(`/nearest/${TREE}/${path}`)
        assert.equal(answer.status, 302, path)
        const found = String(answer.headers.location)
        assert.ok(found.endsWith(`/${TREE}/${location}`), `${path}: ${found}`)
        assert.doesNotMatch(found, /nearest/)
      }
      assert.equal((await ask(`/nearest/${TREE}/nothing`)).status, 404)
      assert.equal((await ask('/nearest/no/such/tree')).status, 404)
      assert.equal((await ask('/nearest/')).status, 404)
      assert.equal((await ask(`/nearest/${TREE}/../x`)).status, 400)
    },
  ))

test('a site that lacks the snapshot leads to one that has it', () =>
  withSites(
    [{ site: 'hq' }, { site: 'lab-a', has: [2] }],
    async (ask) => {
      // Sequence 1 is complete here, and so is what the plain address means; 2 is somewhere else.
      assert.deepEqual(lines((await ask(`/mirrorlist?tree=${TREE}&version=head`)).body), [
        `http://lab-a.example/${TREE}/@2+/`,
      ])
      const redirect = await ask(`/nearest/${TREE}/@2/a%20b`)
      assert.equal(redirect.headers.location, `http://lab-a.example/${TREE}/@2/a%20b`)
      assert.equal((await ask(`/metalink?tree=${TREE}&version=2&path=a%20b`)).status, 503)
    },
    { isComplete: false },
  ))

test('of a part that it keeps a node names itself in no list, and sends those who ask for the rest elsewhere', async () => {
  const mesh = await createTestMesh()
  const clock = new VirtualClock()
  const timeMs = clock.nowMs()
  await mesh.publish(TREE, [['left-out', utf8('older')]], { timeMs })
  const whole: Node = [
    ['kept', utf8('kept')],
    ['left-out', utf8('newer')],
  ]
  const second = await mesh.publish(TREE, whole, { timeMs })
  mesh.narrow(second, await mesh.publish('view', [['kept', utf8('kept')]]), [
    { include: ['kept'], exclude: [] },
  ])
  const sites = [
    { site: 'hq', has: [1] },
    { site: 'lab-a', has: [2, 1] },
  ]
  const gateway = await mesh.start({}, { clock, readStatus: () => statusOf(sites) })
  try {
    const ask = (path: string) => askGateway(gateway, path)
    assert.equal((await ask(`/${TREE}/kept`)).body.toString(), 'kept')
    const absent = await ask(`/${TREE}/left-out`)
    assert.equal(absent.status, 404, 'the older one is another file')
    assert.match(absent.body.toString(), /keeps only a part/)
    assert.deepEqual(lines((await ask(`/mirrorlist?tree=${TREE}`)).body), [
      `http://lab-a.example/${TREE}/@2+/`,
    ])
    assert.match(
      String((await ask(`/nearest/${TREE}/left-out`)).headers.location),
      /^http:\/\/lab-a\.example\/.*\/left-out$/,
    )
    assert.match(String((await ask(`/nearest/${TREE}/kept`)).headers.location), /\/@2\/kept$/)
  } finally {
    await gateway.stop(0)
  }
})

test('a file so deep that its address is long has no links beside it', async () => {
  const mesh = await createTestMesh()
  const deep = Array.from({ length: 5 }, (_, i) => `${i}`.repeat(200))
  await mesh.publish(
    't',
    deep.reduceRight<Node>((node, name) => [[name, node]], [['f', utf8('deep')]]),
  )
  const gateway = await mesh.start()
  try {
    const answer = await askGateway(gateway, `/t/${deep.join('/')}/f`)
    assert.equal(answer.body.toString(), 'deep')
    assert.equal(answer.headers.link, undefined)
  } finally {
    await gateway.stop(0)
  }
})

test('a metalink has the size, the hash and the addresses, in both forms', () =>
  withSites(
    [
      { site: 'hq', url: 'http://hq.example/', has: [2] },
      { site: 'lab-a', has: [2] },
    ],
    async (ask) => {
      const answer = await ask(`/metalink?tree=${TREE}&path=repodata/repomd.xml`)
      assert.equal(answer.headers['content-type'], 'application/metalink4+xml')
      const text = answer.body.toString()
      assert.match(text, /<file name="repomd\.xml">\s*<size>12<\/size>/)
      assert.ok(text.includes(`<hash type="sha-256">${sha256.toString('hex')}</hash>`))
      assert.match(
        text,
        /<url priority="2">http:\/\/lab-a\.example\/builds\/rhel\/@2\/repodata\/repomd\.xml<\/url>/,
      )
      const old = await ask(`/metalink?form=3&tree=${TREE}&path=repodata%2Frepomd.xml`)
      assert.equal(old.headers['content-type'], 'application/metalink+xml')
      assert.match(old.body.toString(), /lab-a\.example\/builds\/rhel\/@2\+\/repodata\/repomd\.xml</)
      assert.ok(old.body.toString().includes(`<hash type="sha256">${sha256.toString('hex')}</hash>`))
      for (const query of [
        'path=repodata',
        'path=',
        '',
        'path=repodata/repomd.xml&form=5',
        'path=../x',
        'path=%00',
      ]) {
        assert.equal((await ask(`/metalink?tree=${TREE}&${query}`)).status, 400, query)
      }
      assert.equal((await ask('/metalink?tree=no/tree&path=x')).status, 404)
      assert.equal((await ask('/metalink?path=x')).status, 400)
      assert.equal((await ask(`/mirrorlist?tree=${TREE}&version=nonsense`)).status, 404)
      assert.match((await ask(`/metalink?tree=${TREE}&path=%ff+`)).body.toString(), /<file name="%FF%2B">/)
    },
  ))

test('names are never markup in a metalink', () => {
  const text = metalink4({
    name: utf8('<x>&"\u202e'),
    sizeBytes: 1,
    sha256: new Uint8Array(32),
    modifiedSec: 0,
    urls: ["http://a/b'&c"],
  })
  assert.doesNotMatch(text, /<x>|"\u202e|b'&c/)
  assert.match(text, /name="%3Cx%3E%26%22%E2%80%AE"/)
})

test('a file says where else it is, and its digest to those who ask', () =>
  withSites(
    [
      { site: 'hq', has: [2] },
      { site: 'lab-a', has: [2] },
    ],
    async (ask) => {
      const plain = await ask(`/${TREE}/repodata/repomd.xml`)
      assert.equal(
        plain.headers.link,
        `<http://lab-a.example/${TREE}/@2/repodata/repomd.xml>; rel=duplicate; pri=1, ` +
          `</metalink?tree=${TREE}&version=2&path=repodata/repomd.xml>; rel=describedby; type="application/metalink4+xml"`,
      )
      assert.equal(plain.headers.digest, undefined)
      assert.equal(
        (await ask(String(plain.headers.link).match(/<(\/metalink[^>]+)>/)?.[1] ?? '')).status,
        200,
      )
      for (const headers of [{ 'want-repr-digest': 'sha-256=1' }, { 'want-digest': 'SHA-256' }]) {
        const answer = await ask(`/${TREE}/a%20b`, { method: 'HEAD', headers })
        const digest = createHash('sha256').update('spaced').digest('base64')
        assert.equal(answer.headers['repr-digest'], `sha-256=:${digest}:`)
        assert.equal(answer.headers.digest, `SHA-256=${digest}`)
      }
      // Known from the metalink by now.
      assert.ok((await ask(`/${TREE}/repodata/repomd.xml`)).headers['repr-digest'])
      assert.equal(
        (await ask(`/${TREE}/%FF%2B`, { headers: { 'want-digest': 'sha-256;q=0' } })).headers.digest,
        undefined,
      )
    },
  ))

test('a tree that is called as one of these addresses goes before it', async () => {
  const mesh = await createTestMesh()
  await mesh.publish('nearest', [['t', [['f', utf8('mine')]]]])
  await mesh.publish('mirrorlist', [['f', utf8('mine too')]])
  const gateway = await mesh.start()
  try {
    assert.equal((await askGateway(gateway, '/nearest/t/f')).body.toString(), 'mine')
    assert.equal((await askGateway(gateway, '/mirrorlist/f')).body.toString(), 'mine too')
    assert.equal((await askGateway(gateway, '/mirrorlist')).status, 302)
  } finally {
    await gateway.stop(0)
  }
})

test('what a gateway listens on names it only where others can reach that', () => {
  const url = (http: string, httpUrl?: string): string | undefined =>
    publicUrlOf({ http, httpUrl, httpCertificate: undefined })
  assert.equal(url('10.2.0.4:8080'), 'http://10.2.0.4:8080/')
  assert.equal(url('lab.example:80'), 'http://lab.example/')
  assert.equal(
    publicUrlOf({ http: '[2001:db8::1]:443', httpUrl: undefined, httpCertificate: '/c' }),
    'https://[2001:db8::1]/',
  )
  for (const http of [
    'off',
    '0.0.0.0:8080',
    '127.0.0.1:8080',
    '[::]:80',
    '[::1]:80',
    'localhost:80',
    '10.2.0.4:0',
  ]) {
    assert.equal(url(http), undefined, http)
  }
  assert.equal(url('127.0.0.1:8080', 'https://proxy.example/mm'), 'https://proxy.example/mm/')
  assert.equal(url('off', 'https://proxy.example/'), undefined)
})
