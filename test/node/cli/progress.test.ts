import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { createProgress } from '../../../node/cli/progress.ts'
import type { Terminal } from '../../../node/cli/terminal.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'

function fakeTerminal(isTty: boolean): { terminal: Terminal; written: () => string } {
  let written = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      written += String(chunk)
      done()
    },
  })
  const side = { stream, isTty, columns: 80 }
  const terminal: Terminal = {
    out: side,
    err: side,
    isStdinTty: false,
    env: {},
    hasColor: false,
    print: () => Promise.reject(new Error('progress must not go to stdout')),
    say: () => assert.fail('progress writes to the stream'),
  }
  return { terminal, written: () => written }
}

test('on a terminal nothing is shown for two seconds, then a bar that is cleared at the end', () => {
  const clock = new VirtualClock()
  const { terminal, written } = fakeTerminal(true)
  const progress = createProgress({ terminal, clock }, { title: 'publish x' })
  progress.update({ phase: 'read', bytes: 0, totalBytes: 1000 })
  clock.advanceTo(clock.nowMs() + 1900)
  assert.equal(written(), '')
  progress.update({ phase: 'read', bytes: 500, totalBytes: 1000, files: 5, totalFiles: 10 })
  clock.advanceTo(clock.nowMs() + 200)
  assert.match(written(), /\[#+-+\] publish x: read, 500 B of 1\.0 kB \(50 %\)/)
  progress.end()
  assert.ok(written().endsWith('\r\x1b[2K'))
  const before = written()
  clock.advanceTo(clock.nowMs() + 60_000)
  assert.equal(written(), before)
})

test('elsewhere there is one plain line each ten seconds', () => {
  const clock = new VirtualClock()
  const { terminal, written } = fakeTerminal(false)
  const progress = createProgress({ terminal, clock }, { title: 'verify' })
  for (let second = 0; second < 35; second++) {
    progress.update({ phase: 'read', bytes: second * 1_000_000, totalBytes: 100_000_000 })
    clock.advanceTo(clock.nowMs() + 1000)
  }
  progress.end()
  const lines = written().trimEnd().split('\n')
  assert.equal(lines.length, 3)
  for (const line of lines)
    assert.match(line, /^verify: read, .* MB of 100 MB \(\d+ %\), (\d+ kB|1\.\d MB)\/s, .* left$/)
  assert.doesNotMatch(written(), /\r|\x1b/)
})

test('where it is narrow the bar gives up the title, and never wraps', () => {
  const clock = new VirtualClock()
  const { terminal, written } = fakeTerminal(true)
  const progress = createProgress({ terminal, clock }, { title: `publish ${'long/'.repeat(8)}name` })
  progress.update({ phase: 'read', bytes: 250_000_000, totalBytes: 1_000_000_000 })
  clock.advanceTo(clock.nowMs() + 2100)
  const drawn = written().split('\r\x1b[2K').filter(Boolean)
  assert.ok(drawn.length > 0)
  for (const line of drawn) {
    assert.match(line, /^\[#+-+\] read, 250 MB of 1\.0 GB \(25 %\)/)
    assert.ok(line.length < 80, line)
  }
  progress.end()
})
