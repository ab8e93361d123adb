/** What scripts/test does with files that fail: a second run, alone, of a few of them; and what it says of it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'

const SCRIPT = resolve(import.meta.dirname, '../../scripts/testing/main.ts')
const BEGIN = "import { test } from 'node:test'\nimport assert from 'node:assert'\n"
const GOOD = `${BEGIN}test('is good', () => {})\n`
const BAD = `${BEGIN}test('outer', (t) => t.test('is bad', () => assert.equal(1, 2)))\n`
/** Fails while there is no trace of an earlier run. */
const FIRST_TIME = `${BEGIN}import { existsSync, writeFileSync } from 'node:fs'
test('is good the second time', () => {
  const trace = new URL('trace', import.meta.url)
  const isFirst = !existsSync(trace)
  writeFileSync(trace, '')
  assert.ok(!isFirst, 'the first time')
})
`

function runOn(
  t: TestContext,
  sources: Readonly<Record<string, string>>,
): { status: number | null; stdout: string } {
  const dir = mkdtempSync(join(tmpdir(), 'mirrormesh-suite-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  for (const [name, source] of Object.entries(sources)) writeFileSync(join(dir, name), source)
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  return spawnSync(process.execPath, [SCRIPT, ...Object.keys(sources)], { cwd: dir, env, encoding: 'utf8' })
}

test('files that pass are run once, and nothing is said of a second run', (t) => {
  const { status, stdout } = runOn(t, { 'a.test.mjs': GOOD, 'b.test.mjs': GOOD })
  assert.equal(status, 0, stdout)
  assert.match(stdout, /tests 2\n/)
  assert.doesNotMatch(stdout, /again|ALONE/)
})

test('a file that fails and then passes alone is told, with what it said first', (t) => {
  const { status, stdout } = runOn(t, { 'a.test.mjs': GOOD, 'b.test.mjs': FIRST_TIME })
  assert.equal(status, 0, stdout)
  assert.match(
    stdout,
    /1 of 2 files failed\. Each runs again, alone:\nfailed: b\.test\.mjs: is good the second time\n/,
  )
  assert.match(
    stdout,
    /PASSED ONLY WHEN RUN ALONE: b\.test\.mjs: is good the second time\n {4}the first time\n/,
  )
  assert.equal(stdout.match(/✔ is good \(/g)?.length, 1)
})

test('what fails twice fails the run, a process that dies included', (t) => {
  const killed = "process.kill(process.pid, 'SIGKILL')\n"
  const { status, stdout } = runOn(t, { 'a.test.mjs': BAD, 'b.test.mjs': FIRST_TIME, 'c.test.mjs': killed })
  assert.equal(status, 1, stdout)
  assert.match(stdout, /failed again: a\.test\.mjs: is bad\n/)
  assert.match(stdout, /PASSED ONLY WHEN RUN ALONE: b\.test\.mjs/)
  assert.match(stdout, /failed again: c\.test\.mjs: \(the process of the file\)\n/)
})

test('when more than five files fail none is run again', (t) => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${name}.test.mjs`)
  const { status, stdout } = runOn(
    t,
    Object.fromEntries(names.map((name) => [name, FIRST_TIME.replace("'trace'", `'${name}.trace'`)])),
  )
  assert.equal(status, 1, stdout)
  assert.match(stdout, /6 files failed, more than the 5 that would be run again:\n/)
  assert.doesNotMatch(stdout, /ALONE/)
})
