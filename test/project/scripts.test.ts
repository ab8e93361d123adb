/** What every script that users run does with --help, with what it does not know, and with a signal. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

const ROOT = join(import.meta.dirname, '../..')
const FLAGS = ['--disable-warning=ExperimentalWarning']

/** The programs behind the npm scripts, each once. */
function programs(): string[] {
  const found = new Set(['scripts/testing/main.ts', 'scripts/measure/transfer.ts'])
  for (const script of globSync('scripts/{*,*/run}', { cwd: ROOT })) {
    const text = readdirOrText(join(ROOT, script))
    for (const [, path] of text.matchAll(/"?\$root\/([\w/-]+\.ts)"? "\$@"/g)) found.add(path!)
  }
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  for (const command of Object.values(scripts)) {
    const part = /^\.\/scripts\/bench(?: (\w+))?$/.exec(command)
    if (part !== null) found.add(`scripts/measure/${part[1] ?? 'main'}.ts`)
  }
  return [...found].filter((path) => existsSync(join(ROOT, path))).sort()
}

function readdirOrText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function run(program: string, option: string): Promise<{ status: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [...FLAGS, join(ROOT, program), option], (error, stdout, stderr) =>
      resolve({ status: error?.code ?? 0, stdout, stderr }),
    )
  })
}

test('each script tells its usage, and refuses what it does not know with a hint', async () => {
  const all = programs()
  assert.ok(all.length >= 18, all.join())
  await Promise.all(
    [0, 1].map(async (half) => {
      for (const program of all.filter((_, i) => i % 2 === half)) {
        const help = await run(program, '--help')
        assert.equal(help.status, 0, `${program}: ${help.stderr}`)
        assert.match(help.stdout, /usage: |npm run /i, program)
        const refused = await run(program, '--no-such-option')
        assert.equal(refused.status, 2, `${program}: ${refused.stderr}`)
        assert.match(refused.stderr, /no-such-option.*--help|usage: /is, program)
        assert.doesNotMatch(refused.stderr, / at .*\.ts:\d/, program)
        assert.equal(refused.stdout, '', program)
      }
    }),
  )
})

test('a script that a signal ends takes its folder away', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'mirrormesh-signal-'))
  try {
    const child = spawn(
      process.execPath,
      [...FLAGS, join(ROOT, 'scripts/scale/main.ts'), '--files', '3000', '--on', dir],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    // It says so once it has a folder.
    await once(child.stderr, 'data')
    assert.equal(readdirSync(dir).length, 1)
    child.kill('SIGTERM')
    assert.deepEqual(await once(child, 'close'), [143, null])
    assert.deepEqual(readdirSync(dir), [])
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})
