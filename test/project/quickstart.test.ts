import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const quickstart = join(root, 'scripts/quickstart')

interface Facts {
  readonly ok: boolean
  readonly rounds: readonly {
    readonly name: string
    readonly twicePercent: number
    readonly bytesLeftOrigin: number
    readonly published: { readonly bytes: number; readonly newBytes: number }
    readonly copies: readonly { readonly site: string; readonly identical: boolean; readonly files: number }[]
    readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[]
  }[]
  readonly nodes: readonly { readonly home: string }[]
}

test('the quickstart replicates a folder of choice twice, and every check holds', {
  timeout: 240_000,
}, async () => {
  const { stdout } = await run(quickstart, [join(root, 'node_modules/@multiformats'), '--json'], {
    maxBuffer: 2 ** 24,
  })
  const facts = JSON.parse(stdout) as Facts
  assert.equal(facts.ok, true)
  assert.equal(facts.rounds.length, 2)
  for (const round of facts.rounds) {
    assert.deepEqual(
      round.copies.map(({ identical }) => identical),
      [true, true],
    )
    assert.ok(round.copies[0]!.files > 100)
    assert.ok(round.twicePercent <= 2)
  }
  const [first, second] = facts.rounds
  assert.ok(second!.bytesLeftOrigin < first!.bytesLeftOrigin / 2, 'only what changed travelled')
  assert.deepEqual(
    facts.nodes.filter(({ home }) => existsSync(home)),
    [],
    'nothing is left behind',
  )
})

test('the quickstart refuses a folder that is not there', async () => {
  const failure = await run(quickstart, ['/nonexistent/folder']).then(
    () => assert.fail('it ended with 0'),
    (error: { code: number; stderr: string }) => error,
  )
  assert.equal(failure.code, 1)
  assert.match(failure.stderr, /\/nonexistent\/folder is not a folder: name one that exists/)
})
