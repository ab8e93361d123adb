/**
 * Runs the commands of README.md's "A mesh of your own" as they stand there, with homes, ports, the token and the
 * folder replaced by ones made here; and holds every command shown in README.md and docs/ to what --help knows.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { EXIT } from '../../node/cli/exit-codes.ts'
import { runProgram } from '../../node/cli/program.ts'
import type { Terminal } from '../../node/cli/terminal.ts'
import { freePort } from '../free-port.ts'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const program = join(root, 'scripts/mirrormesh')
const documents = [
  'README.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name)),
].filter((name) => name.endsWith('.md'))

/** The indented or fenced lines that start with `mirrormesh` or `curl`. */
function commandsIn(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim().replace(/^\$ /, ''))
    .filter((line) => /^(\.\/scripts\/)?(mirrormesh|curl) /.test(line))
    .map((line) => line.replace(/\s+#.*$/, '').replace(/^\.\/scripts\//, ''))
}

test('the commands of the README make a mesh of two nodes that replicates a folder', {
  timeout: 300_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mirrormesh-readme-'))
  const daemons: ChildProcess[] = []
  t.after(async () => {
    for (const daemon of daemons) {
      const ended = new Promise((done) => daemon.once('exit', done))
      if (daemon.exitCode === null && daemon.kill('SIGTERM')) await ended
    }
    rmSync(folder, { recursive: true, force: true })
  })
  mkdirSync(join(folder, 'nightly'))
  writeFileSync(join(folder, 'nightly', 'image.bin'), Buffer.alloc(300_000, 'a build'))

  const text = readFileSync(join(root, 'README.md'), 'utf8')
  const section = text.slice(text.indexOf('## A mesh of your own'), text.indexOf('## Terms'))
  const ports = {
    hq: [await freePort(), await freePort()],
    lab: [await freePort(), await freePort()],
  } as const
  let token = ''
  // The README moves to the lab with `join`, and back "at hq, and from anywhere" after the lab's daemon.
  let place: 'hq' | 'lab' = 'hq'
  let answer = ''
  for (const command of commandsIn(section)) {
    if (command.includes(' join ')) place = 'lab'
    const local = command
      .replaceAll('/srv/mm', join(folder, place))
      .replaceAll('0.0.0.0:4001', `127.0.0.1:${ports[place][0]}`)
      .replaceAll('0.0.0.0:8080', `127.0.0.1:${ports[place][1]}`)
      .replaceAll('lab-a.example:8080', `127.0.0.1:${ports.lab[1]}`)
      .replaceAll('./nightly', join(folder, 'nightly'))
      .replaceAll('TOKEN', token)
    const [name, ...args] = local.split(' ')
    if (args.at(-1) === 'daemon') {
      const daemon = spawn(program, args, { stdio: 'ignore' })
      daemons.push(daemon)
      await ready(`http://127.0.0.1:${ports[place][1]}/readyz`, daemon)
      if (place === 'lab') place = 'hq'
    } else {
      const { stdout } = await run(
        name === 'curl' ? 'curl' : program,
        name === 'curl' ? ['-sSf', ...args] : args,
      )
      if (args.includes('invite')) token = stdout.trim()
      answer = stdout
    }
  }
  assert.equal(daemons.length, 2)
  assert.match(answer, /image\.bin/)
})

test('every command in the documents is one that --help knows', { timeout: 300_000 }, async () => {
  const unknown: string[] = []
  const helps = new Map<string, Promise<string>>()
  const help = (verb: string): Promise<string> => {
    const found = helps.get(verb) ?? helpOf(verb)
    helps.set(verb, found)
    return found
  }
  for (const name of documents) {
    for (const command of commandsIn(readFileSync(join(root, name), 'utf8'))) {
      const words = command.split(/\s+/).slice(1)
      if (!command.startsWith('mirrormesh')) continue
      // What stands with every verb may stand before it.
      while (['--home', '--api', '--token-file'].includes(words[0] ?? '')) words.splice(0, 2)
      const verb = [
        'tree',
        'pin',
        'topology',
        'config',
        'store',
        'member',
        'invite',
        'fetch',
        'admin',
        'mesh',
        'site',
        'token',
        'limits',
        'grant',
      ].includes(words[0] ?? '')
        ? words.slice(0, 2).join(' ')
        : (words[0] ?? '')
      const text = await help(verb)
      const flags = words.filter((word) => word.startsWith('--')).map((word) => word.replace(/=.*/, ''))
      for (const flag of flags)
        if (!text.includes(flag)) unknown.push(`${name}: ${command}: no ${flag} in ${verb} --help`)
      if (text === '') unknown.push(`${name}: ${command}: no verb ${verb}`)
    }
  }
  assert.deepEqual(unknown, [])
})

/** In this process: a hundred verbs, each in one of its own, take half a minute. Empty when there is no such verb. */
async function helpOf(verb: string): Promise<string> {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    },
  })
  const face = { stream, isTty: false, columns: 80 }
  const terminal: Terminal = {
    ...{ out: face, err: face, isStdinTty: false, env: {}, hasColor: false },
    print: async (more) => void stream.write(more),
    say: (line) => void stream.write(line),
  }
  const status = await runProgram([...verb.split(' '), '--help'], terminal, new AbortController().signal)
  return status === EXIT.ok ? text : ''
}

/** Polls until the daemon says that it is ready; fails as soon as it has ended. */
async function ready(url: string, daemon: ChildProcess): Promise<void> {
  const deadline = performance.now() + 30_000
  while (performance.now() < deadline) {
    assert.equal(daemon.exitCode, null, 'the daemon ended')
    const response = await fetch(url).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok) return
    await new Promise((done) => setTimeout(done, 50))
  }
  assert.fail(`${url} did not answer with 200 within 30 s`)
}
