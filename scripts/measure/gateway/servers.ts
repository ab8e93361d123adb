/** The two servers, each with the same files: a node of a mesh of one site, and nginx over its check-out. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../../test/free-port.ts'
import { cpuSecondsOf, type Running, startAt, until } from '../mesh/processes.ts'

export interface Server {
  readonly name: 'mirrormesh' | 'nginx'
  /** Of the tree's root, with a slash. */
  readonly url: string
  cpuSeconds(): number
  peakMB(): number
  stop(): Promise<void>
}

const MAIN = join(import.meta.dirname, '../../../node/main.ts')
/** As scripts/mirrormesh and the first line of main.ts have it. */
const AS_LAUNCHED = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=8']
const TREE = 'bench'
const HERE = { argumentsAt: (_: string, command: readonly string[]) => [...command] }
const READY = { timeoutMs: 60_000, everyMs: 100 }

export async function startGateway(
  folder: string,
  source: string,
  servers: Server[],
): Promise<Server & { readonly checkout: string }> {
  const home = join(folder, 'home')
  const [listen, http] = [await freePort(), await freePort()]
  const program = [process.execPath, ...AS_LAUNCHED, MAIN, '--home', home]
  const run = (...words: string[]): string =>
    execFileSync(program[0]!, [...program.slice(1), ...words], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  run(
    ...['init', '--mesh', 'bench', '--site', 'here', '--region', 'here'],
    '--listen',
    `127.0.0.1:${listen}`,
    '--http',
    `127.0.0.1:${http}`,
  )
  const start = async (): Promise<Running> => {
    const running = startAt(HERE, 'mirrormesh', [...program, 'daemon'], {
      logFile: join(folder, 'mirrormesh.log'),
      // All connections come from one address here.
      env: { MIRRORMESH_HTTP_CLIENT_CONNECTIONS: '100000', MIRRORMESH_HTTP_MAX_CONNECTIONS: '100000' },
    })
    servers.push(serverOf('mirrormesh', url, running))
    await answers(`http://127.0.0.1:${http}/readyz`)
    return running
  }
  const url = `http://127.0.0.1:${http}/${TREE}/`
  const first = await start()
  run('tree', 'create', TREE)
  run('publish', source, '--tree', TREE)
  const checkout = join(folder, 'checkout')
  run('checkout', TREE, checkout)
  // What an import takes of memory is not what serving takes.
  await first.stop()
  const server = serverOf('mirrormesh', url, await start())
  await answers(server.url)
  return { ...server, checkout }
}

export async function startNginx(folder: string, root: string, servers: Server[]): Promise<Server> {
  const dir = join(folder, 'nginx')
  mkdirSync(dir)
  const port = await freePort()
  const file = join(dir, 'nginx.conf')
  writeFileSync(
    file,
    `daemon off; worker_processes auto; pid ${dir}/pid; error_log ${dir}/error.log;
events { worker_connections 20000; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path ${dir}/a; proxy_temp_path ${dir}/b; fastcgi_temp_path ${dir}/c; uwsgi_temp_path ${dir}/d; scgi_temp_path ${dir}/e;
  server { listen 127.0.0.1:${port} backlog=4096; root ${root}; }
}
${process.getuid?.() === 0 ? 'user root;' : ''}
`,
  )
  const running = startAt(HERE, 'nginx', ['nginx', '-p', dir, '-c', file], {
    logFile: join(folder, 'nginx.log'),
  })
  const server = serverOf('nginx', `http://127.0.0.1:${port}/`, running)
  servers.push(server)
  await answers(`${server.url}small/0`)
  return server
}

function serverOf(name: Server['name'], url: string, running: Running): Server {
  const all = (): number[] => [running.pid, ...childrenOf(running.pid)]
  return {
    name,
    url,
    cpuSeconds: () => all().reduce((sum, pid) => sum + cpuSecondsOf(pid), 0),
    peakMB: () => all().reduce((sum, pid) => sum + peakKiBOf(pid), 0) / 1024,
    stop: () => running.stop(),
  }
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    const text = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
    return text.split(' ').filter(Boolean).map(Number)
  })
}

function peakKiBOf(pid: number): number {
  return Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
}

async function answers(url: string): Promise<void> {
  await until(`an answer of ${url}`, READY, async () => {
    const response = await fetch(url).catch(() => undefined)
    await response?.body?.cancel()
    return response?.status === 200 ? true : undefined
  })
}
