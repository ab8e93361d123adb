import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { runtimeProblem } from '../../node/runtime-check.ts'

test('an old Node is told in one sentence what is needed', () => {
  for (const version of ['18.20.4', '20.20.2', '22.1.0', '23.11.0']) {
    const problem = runtimeProblem(version) ?? ''
    assert.match(
      problem,
      new RegExp(`needs Node.js 24 or newer, and this is ${version.replaceAll('.', '\\.')}`),
    )
    assert.equal(problem.split('\n').length, 1)
  }
  assert.equal(runtimeProblem('24.0.0'), undefined)
  assert.equal(runtimeProblem('26.3.1-nightly'), undefined)
})

test('what an old Node has to parse imports nothing that is newer than it', () => {
  const folder = join(import.meta.dirname, '../../node')
  const text =
    readFileSync(join(folder, 'main.ts'), 'utf8') + readFileSync(join(folder, 'runtime-check.ts'), 'utf8')
  const imports = [...text.matchAll(/^import .* from '(.*)'/gm)].map((match) => match[1])
  assert.deepEqual(imports, ['./runtime-check.ts'])
  assert.doesNotMatch(text, /\bawait\b|\?\?|\?\.|#\w+\s*[=(]/)
})

test('scripts/mirrormesh finds a runtime by itself, whatever Node is on PATH', () => {
  const program = join(import.meta.dirname, '../../scripts/mirrormesh')
  const version = execFileSync(program, ['--version'], { env: { PATH: '/usr/bin:/bin' }, encoding: 'utf8' })
  assert.match(version, /^\d+\.\d+\.\d+\n$/)
})
