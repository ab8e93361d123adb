/** A mesh of processes whose first node has a console. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Daemon, freePort, startDaemon, succeed } from '../node/program.ts'
import { tempDir } from '../node/temp-dir.ts'

export interface ConsoleMesh {
  readonly dir: string
  readonly hq: string
  readonly url: string
  readonly token: string
  readonly daemon: Daemon
  /** The program at the first node. */
  run(...args: string[]): Promise<string>
  /** As `run`, of a verb with --json. */
  json<T>(...args: string[]): Promise<T>
  /** Of the API, as text. */
  get(path: string): Promise<string>
  /** File of a key that nobody has given any right. */
  strangersKey(): Promise<string>
  /** Invites a site and joins from there; its daemon is another matter. */
  join(site: string, region: string): Promise<string>
  /** With a token from elsewhere. */
  joinBy(invite: string, site: string): Promise<void>
}

export const OFFLINE = ['--listen', '127.0.0.1:0', '--http', 'off']

export async function startConsoleMesh(
  t: TestContext,
  { env = {} }: { readonly env?: Readonly<Record<string, string>> } = {},
): Promise<ConsoleMesh> {
  const dir = await tempDir(t)
  const hq = join(dir, 'hq')
  const run = (...args: string[]): Promise<string> => succeed(['--home', hq, ...args])
  await run('init', '--mesh', 'acme', '--site', 'hq', '--region', 'us', ...OFFLINE)
  const port = await freePort()
  await writeFile(join(hq, 'config.yaml'), `apiListen: 127.0.0.1:${port}\n`, { flag: 'a' })
  const daemon = await startDaemon(t, hq, env)
  const token = (await run('token', 'create', '--name', 'browser', '--scope', 'admin')).trim()
  return {
    dir,
    hq,
    url: `http://127.0.0.1:${port}/console/`,
    token,
    daemon,
    run,
    async json<T>(...args: string[]) {
      return JSON.parse(await run(...args, '--json')) as T
    },
    async get(path) {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
        headers: { authorization: `Bearer ${token}` },
      })
      return answer.text()
    },
    async strangersKey() {
      const file = join(dir, 'stranger.key')
      if (!existsSync(file)) await run('admin', 'new-key', file)
      return file
    },
    async joinBy(invite, site) {
      await succeed(['--home', join(dir, site), 'join', invite, ...OFFLINE])
    },
    async join(site, region) {
      const home = join(dir, site)
      const invite = (await run('invite', 'create', '--site', site, '--region', region)).trim()
      await succeed(['--home', home, 'join', invite, ...OFFLINE])
      return home
    },
  }
}
