/** The stream of events of a real daemon, while things happen there. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createApiClient, type ServerEvent } from '../../../node/cli/api-client.ts'
import { choosePaths } from '../../../node/paths.ts'
import { startDaemon, succeed, until } from '../program.ts'
import { tempDir } from '../temp-dir.ts'

test('what happens is told as it happens, and again to a client that comes back', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [home, source] = [join(dir, 'hq'), join(dir, 'source')]
  await writeFile(source, 'content')
  await succeed([
    ...['init', '--home', home, '--mesh', 'm', '--site', 'hq', '--region', 'r'],
    ...['--listen', '127.0.0.1:0', '--http', 'off'],
  ])
  let daemon = await startDaemon(t, home)
  const api = createApiClient({ paths: choosePaths({ home, env: {}, uid: 0 }), self: 'mirrormesh' })
  const watch = (after?: string) => {
    const [events, ending] = [[] as ServerEvent[], new AbortController()]
    t.after(() => ending.abort())
    const query = after === undefined ? '' : `?after=${after}`
    const ended = (async () => {
      for await (const event of api.events(`/api/v1/events${query}`, ending.signal)) events.push(event)
    })().catch(() => undefined)
    const find = (what: string, test: (event: string, data: Record<string, unknown>) => boolean) =>
      until(what, async () => events.find(({ event, data }) => test(event, data as Record<string, unknown>)))
    return { events, find, ended, end: () => ending.abort() }
  }
  const first = watch()
  await first.find('the stream is open', (event) => event === 'open')
  const main = join(import.meta.dirname, '../../../node/main.ts')
  const follower = spawn(process.execPath, [main, 'events', '--follow', '--home', home], { stdio: 'pipe' })
  t.after(() => follower.kill('SIGKILL'))
  let printed = ''
  follower.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text
  })
  const idBefore = first.events.at(-1)!.id
  await succeed(['publish', source, '--home', home, '--tree', 'x'])
  const head = await first.find('the head', (event, { kind }) => event === 'record' && kind === 'head')
  await first.find('the end of the job', (event, { kind, state }) => {
    return event === 'job' && kind === 'publish' && state === 'done'
  })
  await first.find('the tree is complete', (event, { trees }) => {
    const [tree] = (trees ?? []) as { tree: string; sites: { state: string }[] }[]
    return event === 'status' && tree?.tree === 'x' && tree.sites[0]?.state === 'complete'
  })
  await api.post('/api/v1/jobs', { kind: 'verify', tree: 'nowhere' })
  const failed = await first.find('a job that failed', (event, { kind, state }) => {
    return event === 'job' && kind === 'verify' && state === 'failed'
  })
  assert.equal(JSON.stringify(failed).includes('nowhere'), false, 'what it met is for who may see it')
  first.end()
  await first.ended

  const second = watch(idBefore)
  await second.find('the head again', (_, { kind }) => kind === 'head')
  assert.ok(second.events.some(({ id }) => id === head.id))
  assert.ok(second.events.every(({ event }) => event !== 'reset'))
  await until('the verb prints what it follows', async () => {
    await api.post('/api/v1/jobs', { kind: 'collect', dryRun: true })
    return /^.{20} {2}job collect: done$/m.test(printed)
  })

  // Another run of the daemon knows nothing of the ids of this one.
  await daemon.stop()
  await second.ended
  daemon = await startDaemon(t, home)
  const third = watch(head.id)
  await third.find('a reset', (event) => event === 'reset')
  third.end()
})
