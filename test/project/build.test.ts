/**
 * The program as it is published: compiled into a folder of its own, then run as a user would. Worker threads and WASM
 * are found by their place beside the compiled files, which running the sources cannot show.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')

/** Below the repository, one level deep as dist/ is: packages and the version are found from there. */
async function build(t: TestContext): Promise<string> {
  const folder = mkdtempSync(join(root, 'dist-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  await run(join(root, 'scripts/build'), [folder])
  return join(folder, 'node/main.js')
}

async function startDaemon(t: TestContext, program: string, home: string): Promise<ChildProcess> {
  const daemon = spawn(process.execPath, [program, '--home', home, 'daemon'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise((done) => daemon.once('close', done))
  t.after(async () => {
    daemon.kill('SIGKILL')
    await ended
  })
  let said = ''
  await new Promise<void>((done, reject) => {
    const hear = (text: Buffer): void => {
      said += text
      if (said.includes('ready: ')) done()
    }
    daemon.stdout.on('data', hear)
    daemon.stderr.on('data', hear)
    void ended.then(() => reject(new Error(`the daemon ended:\n${said}`)))
  })
  return daemon
}

test('the compiled program founds a mesh, publishes a folder and checks it out', {
  timeout: 300_000,
}, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'mirrormesh-build-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const program = await build(t)
  const home = join(dir, 'home')
  const mirrormesh = async (...args: string[]): Promise<string> =>
    (await run(process.execPath, [program, '--home', home, ...args])).stdout

  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  assert.equal((await mirrormesh('--version')).trim(), version)
  const place = ['--site', 'hq', '--region', 'us', '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0']
  await mirrormesh('init', '--mesh', 'm', ...place)
  const daemon = await startDaemon(t, program, home)

  const [source, copy] = [join(dir, 'source'), join(dir, 'copy')]
  mkdirSync(join(source, 'bin'), { recursive: true })
  writeFileSync(join(source, 'bin/tool'), '#!/bin/sh\n', { mode: 0o755 })
  writeFileSync(join(source, 'large'), Buffer.alloc(3_000_000, 'more than one block; '))
  symlinkSync('bin/tool', join(source, 'link'))
  assert.match(await mirrormesh('publish', source, '--tree', 'builds/x'), /^builds\/x@1 /)
  await mirrormesh('checkout', 'builds/x', copy)
  await run('diff', ['-r', source, copy])
  assert.match(await mirrormesh('verify', 'builds/x', '--checkout', copy), /every block is here and right/)
  assert.equal(await mirrormesh('ls', 'builds/x').then((text) => text.includes('large')), true)
  const ended = new Promise((done) => daemon.once('close', done))
  daemon.kill('SIGTERM')
  assert.equal(await ended, 0)
})
