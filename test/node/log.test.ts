import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { createLog } from '../../node/log.ts'
import { MirrorError } from '../../src/base/errors.ts'

function sink(): { stream: Writable; lines: () => string[] } {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  return { stream, lines: () => text.split('\n').filter(Boolean) }
}

test('an event is one line of JSON with its name, level, time and fields', () => {
  const { stream, lines } = sink()
  const log = createLog({ logLevel: 'info', logFormat: 'auto' }, { stream, isTty: false })
  log.debug({ secret: 1 }, 'not.shown')
  log.info({ tree: 'a/b', path: 'x\ny' }, 'head.accepted')
  const error = new MirrorError('no-space', 'the disk is full', {
    hint: 'Make room.',
    facts: { freeBytes: 0 },
  })
  log.warn({ err: error }, 'store.failed')
  assert.equal(lines().length, 2)
  const [first, second] = lines().map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(
    [first?.level, first?.event, first?.tree, first?.path],
    ['info', 'head.accepted', 'a/b', 'x\ny'],
  )
  assert.match(String(first?.time), /^\d{4}-\d\d-\d\dT.*Z$/)
  assert.deepEqual(second?.err, {
    code: 'no-space',
    message: 'the disk is full',
    hint: 'Make room.',
    facts: { freeBytes: 0 },
  })
})

test('on a terminal an event is one readable line, whatever its fields hold', () => {
  const { stream, lines } = sink()
  const log = createLog({ logLevel: 'info', logFormat: 'auto' }, { stream, isTty: true })
  log.info(
    { tree: 'a/b', path: 'x\n\u001b[31my', count: 3, err: new MirrorError('io', 'broken disk') },
    'a.b',
  )
  assert.equal(lines().length, 1)
  assert.match(
    lines()[0]!,
    /^\d\d:\d\d:\d\d info {2}a\.b tree=a\/b path="x\\n\\u001b\[31my" count=3 err="broken disk"$/,
  )
})
