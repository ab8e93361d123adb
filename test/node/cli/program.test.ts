import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { VERBS } from '../../../node/cli/verbs.ts'
import { mirrormesh, succeed } from '../program.ts'
import { tempDir } from '../temp-dir.ts'

test('every verb has a help with its arguments, --home and the exit codes', async () => {
  const overview = await succeed(['--help'])
  for (const { name } of VERBS) assert.match(overview, new RegExp(`^  ${name} `, 'm'))
  const helps = await Promise.all(
    VERBS.map(async ({ name }) => ({ name, text: await succeed([name, '--help']) })),
  )
  for (const { name, text } of helps) {
    assert.match(text, new RegExp(`^Usage: mirrormesh ${name} `), name)
    assert.match(text, /--home DIR/, name)
    assert.match(text, /7 daemon unreachable/, name)
    assert.doesNotMatch(text, /default: \[\]/, name)
  }
})

test('without a verb, with an unknown one, or with a wrong option the exit code is 2', async () => {
  const [none, unknown, option, missing, home] = await Promise.all([
    mirrormesh([]),
    mirrormesh(['pubish']),
    mirrormesh(['status', '--jsn']),
    mirrormesh(['publish', '/tmp']),
    mirrormesh(['status', '--home']),
  ])
  for (const outcome of [none, unknown, option, missing, home]) {
    assert.equal(outcome.status, 2, outcome.stderr)
    assert.equal(outcome.stdout, '')
  }
  assert.match(unknown.stderr, /unknown command 'pubish'\s+\(Did you mean publish\?\)/)
  assert.match(missing.stderr, /required option '--tree <NAME>'.*\s+See mirrormesh publish --help\./)
  assert.match(option.stderr, /See mirrormesh status --help\./)
})

test('a daemon that does not run is exit code 7 and a hint how to start it', async (t) => {
  const home = await tempDir(t)
  for (const args of [['status'], ['ls', 'a'], ['tree', 'list'], ['verify'], ['status', '--json']]) {
    const outcome = await mirrormesh([...args, '--home', home])
    assert.equal(outcome.status, 7, `${args}: ${outcome.stderr}`)
    assert.equal(outcome.stdout, '')
    assert.match(
      outcome.stderr,
      /no daemon answers at .*api\.sock: no such socket\. Start it: mirrormesh --home .* daemon/,
    )
  }
})

test('init makes a home once, and the daemon refuses one that is none', async (t) => {
  const home = join(await tempDir(t), 'hq')
  const early = await mirrormesh(['--home', home, 'daemon'])
  assert.equal(early.status, 5, early.stderr)
  assert.match(early.stderr, /no node of a mesh yet.*mirrormesh init/)
  const made = JSON.parse(
    await succeed([
      'init',
      '--home',
      home,
      '--mesh',
      'm',
      '--site',
      'hq',
      '--region',
      'r',
      '--http',
      'off',
      '--json',
    ]),
  ) as { peer: string; adminKey: string; mesh: { id: string } }
  assert.match(made.peer, /^12D3KooW/)
  assert.equal((await stat(made.adminKey)).mode & 0o777, 0o600)
  const again = await mirrormesh(['init', '--home', home, '--mesh', 'm', '--site', 'hq', '--region', 'r'])
  assert.equal(again.status, 8, again.stderr)
  assert.match(again.stderr, /is a node of a mesh already/)
  for (const args of [
    ['--mesh', 'M', '--site', 'hq', '--region', 'r'],
    ['--mesh', 'm', '--site', 'h q', '--region', 'r'],
    ['--mesh', 'm', '--site', 'hq', '--region', 'r', '--listen', 'nowhere'],
  ]) {
    const outcome = await mirrormesh(['init', '--home', `${home}-other`, ...args])
    assert.equal(outcome.status, 2, outcome.stderr)
  }
})

test('an unknown key of the config file stops the daemon with its line and exit code 2', async (t) => {
  const home = await tempDir(t)
  await succeed(['init', '--home', home, '--mesh', 'm', '--site', 'hq', '--region', 'r'])
  await writeFile(join(home, 'config.yaml'), 'listen: 127.0.0.1:0\nbandwith: 3\n')
  for (const args of [['daemon'], ['config', 'check'], ['config', 'show']]) {
    const outcome = await mirrormesh(['--home', home, ...args])
    assert.equal(outcome.status, 2, outcome.stderr)
    assert.match(outcome.stderr, /config\.yaml:2: unknown key "bandwith"\. Known keys are listen, /)
  }
  await writeFile(join(home, 'config.yaml'), 'listen: 127.0.0.1:0\n')
  const good = JSON.parse(await succeed(['--home', home, 'config', 'check', '--json'])) as unknown
  assert.deepEqual(good, { file: join(home, 'config.yaml'), isGood: true })
})

test('config path prints every path without reading the config file', async (t) => {
  const home = await tempDir(t)
  await writeFile(join(home, 'config.yaml'), 'nonsense: [')
  const text = await succeed(['config', 'path', '--home', home])
  for (const name of ['config', 'keys', 'store', 'temporary', 'run', 'socket']) {
    assert.match(text, new RegExp(`^${name} +${home}/`, 'm'))
  }
  const json = JSON.parse(await succeed(['config', 'path', '--home', home, '--json'])) as Record<
    string,
    string
  >
  assert.equal(json.socket, join(home, 'run/api.sock'))
})

test('a join with a damaged token is exit code 2, and makes nothing', async (t) => {
  const home = join(await tempDir(t), 'lab')
  for (const token of ['nonsense', 'mm1.AAAA', 'mm1.']) {
    const outcome = await mirrormesh(['--home', home, 'join', token])
    assert.equal(outcome.status, 2, outcome.stderr)
    await assert.rejects(stat(home), { code: 'ENOENT' })
  }
})

test('help knows a verb, and a verb of a noun', async () => {
  assert.match(await succeed(['help', 'publish']), /Usage: mirrormesh publish /)
  assert.match(await succeed(['help', 'pin', 'add']), /Usage: mirrormesh pin add /)
  assert.match(await succeed(['help', 'pin']), /Usage: mirrormesh pin \[options\] \[command\]/)
})

test('the completion scripts are scripts, and bash completes verbs, nouns and options', async (t) => {
  const dir = await tempDir(t)
  for (const shell of ['bash', 'zsh', 'fish']) {
    const script = await succeed(['completion', shell])
    for (const word of ['publish', 'history', 'region', 'json'])
      assert.ok(script.includes(word), `${shell}: ${word}`)
    await writeFile(join(dir, shell), script)
  }
  assert.equal((await mirrormesh(['completion', 'tcsh'])).status, 2)
  const complete = (...words: string[]): string[] =>
    execFileSync(
      'bash',
      [
        '-c',
        `. ${join(dir, 'bash')}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mirrormesh; printf '%s\\n' "\${COMPREPLY[@]}"`,
        'bash',
        ...words,
      ],
      { encoding: 'utf8', cwd: dir },
    )
      .trim()
      .split('\n')
  assert.deepEqual(complete('mirrormesh', 'pub'), ['publish'])
  assert.deepEqual(complete('mirrormesh', 'tree', 'hi'), ['history'])
  assert.deepEqual(complete('mirrormesh', '--home', 'publish', 'pin', 'ad'), ['add'])
  assert.deepEqual(complete('mirrormesh', 'pin', 'add', 'x', '--r'), ['--region'])
  assert.deepEqual(complete('mirrormesh', 'publish', 'fi'), ['fish'])
})
