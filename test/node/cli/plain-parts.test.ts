import assert from 'node:assert/strict'
import { test } from 'node:test'
import { problemOf } from '../../../node/cli/api-client.ts'
import { EXIT, EXIT_HELP, exitStatusOf } from '../../../node/cli/exit-codes.ts'
import { countOf, formatBytes, formatSeconds, parseDuration } from '../../../node/cli/quantity.ts'
import { formatTable, shortIds } from '../../../node/cli/table.ts'
import { withoutControls } from '../../../node/cli/terminal.ts'
import { parseTreeSpec } from '../../../node/cli/tree-spec.ts'
import { treeUrl } from '../../../node/cli/tree-url.ts'
import { formatStatus, isWell } from '../../../node/cli/verbs/status.ts'
import { ERROR_CODES, isMirrorError } from '../../../src/base/errors.ts'
import type { ReplicaStatus, StatusDocument } from '../../../src/replica/status/status.ts'

const nothing = { bytesSent: 0, bytesReceived: 0, plainBytesSent: 0, plainBytesReceived: 0 }

test('every error code has an exit status that the help lists', () => {
  const listed = new Set(EXIT_HELP.match(/\b\d+\b/g)?.map(Number))
  assert.deepEqual(listed, new Set(Object.values(EXIT)))
  for (const code of ERROR_CODES) assert.ok(listed.has(exitStatusOf(code)) && exitStatusOf(code) !== 0, code)
})

test('a tree argument is a name, perhaps a version, perhaps a path', () => {
  assert.deepEqual(parseTreeSpec('builds/rhel-9'), { tree: 'builds/rhel-9' })
  assert.deepEqual(parseTreeSpec('b@12'), { tree: 'b', ref: '12' })
  assert.deepEqual(parseTreeSpec('b@latest:/x//y/'), { tree: 'b', ref: 'latest', path: 'x/y' })
  assert.deepEqual(parseTreeSpec('b:/'), { tree: 'b', path: '' })
  assert.deepEqual(parseTreeSpec('b:/a@1:c'), { tree: 'b', path: 'a@1:c' })
  for (const bad of ['', 'B', 'b/', '/b', 'b@', 'b@../x', 'b:/../x', '../b', 'b c']) {
    assert.throws(
      () => parseTreeSpec(bad),
      (error) => isMirrorError(error, 'invalid'),
      bad,
    )
  }
})

test('names within a tree travel byte by byte, and what ls prints of odd ones can be given back', () => {
  assert.equal(treeUrl({ tree: 'a/b', ref: '3' }, 'entries'), '/api/v1/trees/a%2Fb/entries?ref=3')
  assert.equal(treeUrl({ tree: 'a', path: 'é' }, 'file'), '/api/v1/trees/a/file?path=%c3%a9')
  assert.equal(
    treeUrl({ tree: 'a', path: 'x\\xff\\u{202e}' }, 'file'),
    '/api/v1/trees/a/file?path=%78%ff%e2%80%ae',
  )
})

test('a count says one or many', () => {
  assert.deepEqual(
    [0, 1, 2, 1234].map((count) => countOf(count, 'block')),
    ['0 blocks', '1 block', '2 blocks', '1,234 blocks'],
  )
  assert.equal(countOf(1, 'entry', 'entries'), '1 entry')
  assert.equal(countOf(2, 'entry', 'entries'), '2 entries')
})

test('numbers are shown as people read them', () => {
  assert.deepEqual([0, 999, 1000, 99_949, 1_234_567, 5e12].map(formatBytes), [
    '0 B',
    '999 B',
    '1.0 kB',
    '99.9 kB',
    '1.2 MB',
    '5.0 TB',
  ])
  assert.deepEqual([0.41, 12.3, 200, 18_120, 270_000].map(formatSeconds), [
    '0.4 s',
    '12 s',
    '3 min 20 s',
    '5 h 2 min',
    '3 d 3 h',
  ])
  assert.deepEqual(['90s', '30m', '12h', '7d', '7', 'm', '-1s'].map(parseDuration), [
    90_000,
    1_800_000,
    43_200_000,
    604_800_000,
    undefined,
    undefined,
    undefined,
  ])
})

test('a table is padded to its widest cells and ids are cut to what tells them apart', () => {
  assert.equal(
    formatTable(
      [{ title: 'A' }, { title: 'N', align: 'right' }],
      [
        ['long', '1'],
        ['é', '22'],
      ],
    ),
    'A      N\nlong   1\né     22\n',
  )
  const ids = ['abcdefgh1234', 'abcdefgh1299']
  assert.deepEqual(ids.map(shortIds(ids)), ['abcdefgh123', 'abcdefgh129'])
})

test('what somebody writes into a cell stays in it', () => {
  assert.equal(
    formatTable([{ title: 'SITE' }, { title: 'STATE' }], [['lab', 'failed\nhq\tcomplete\u001b[2K\u202e']]),
    'SITE  STATE\nlab   failed\\x0ahq\\x09complete\\x1b[2K\\u{202e}\n',
  )
})

test('a problem document becomes the error that it describes, and anything else an internal one', () => {
  const error = problemOf('{"code":"conflict","detail":"d","hint":"h","facts":{"n":1}}', 409)
  assert.deepEqual([error.code, error.message, error.hint, error.facts], ['conflict', 'd', 'h', { n: 1 }])
  assert.equal(problemOf('<html>', 502).code, 'internal')
  assert.equal(problemOf('{"code":"new-code"}', 400).code, 'internal')
})

test('a check-out that cannot be made at another site is told here, and is not well', () => {
  const status = (replica: Partial<ReplicaStatus>): StatusDocument => ({
    mesh: { name: 'm', id: 'id' },
    self: { peer: '12D3KooWa', site: 'hq', region: 'us', version: '1' },
    sites: [],
    trees: [
      {
        tree: 't',
        epoch: 1,
        sequence: 2,
        snapshot: 's',
        publisher: '12D3KooWa',
        files: 1,
        bytes: 1,
        sites: [
          {
            site: 'lab',
            sequence: 2,
            state: 'complete',
            missingBytes: 0,
            checkouts: [{ path: '/out', sequence: null }],
            ...replica,
          },
        ],
      },
    ],
    traffic: {
      peers: [],
      classes: {
        site: nothing,
        region: nothing,
        wan: nothing,
      },
      blocksSent: 0,
      blocksSentMoreThanOnce: 0,
      bytesSentBeforeComplete: 0,
    },
    alarms: [],
  })
  assert.equal(isWell(status({})), true)
  const bad = status({ reason: '/out is not a check-out of mirrormesh (tried 4 times)' })
  assert.equal(isWell(bad), false)
  const denied = { state: 'unknown', sequence: null, reason: 'no right', checkouts: [] } as const
  assert.equal(
    isWell(status({ ...denied, hasNoRight: true })),
    true,
    'nobody waits for a site without the right',
  )
  assert.equal(isWell(status(denied)), false)
  assert.match(
    formatStatus(bad),
    /no check-out at \/out yet, \/out is not a check-out of mirrormesh \(tried 4/,
  )
})

test('what others say cannot write over what is shown', () => {
  assert.equal(
    withoutControls('from \x1b[2A\x1b[2Kcode 1111-2222\r\u202e\x9b1m\ta\n'),
    'from \\x1b[2A\\x1b[2Kcode 1111-2222\\x0d\\u{202e}\\x9b1m\ta\n',
  )
  assert.equal(withoutControls('Straße └ 北京 ✔ \\x'), 'Straße └ 北京 ✔ \\x')
})
