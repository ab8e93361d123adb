/**
 * A TCP port of loopback for a daemon that a test starts later, or starts again. Ports that the kernel hands out by itself are
 * none: between asking for one and listening there, another process may get it. So it is one below those, and held until this
 * process ends, by an abstract socket of its name (which leaves nothing behind): test files that run at a time get different ones.
 */
import { readFileSync } from 'node:fs'
import { createServer, type ListenOptions } from 'node:net'

const LOWEST_PORT = 10_000
const FEWEST_PORTS = 1000
const MOST_TRIES = 1000

export async function freePort(): Promise<number> {
  const end = Math.max(LOWEST_PORT + FEWEST_PORTS, firstPortOfKernel())
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (end - LOWEST_PORT))
    if (!(await listenAt({ path: `\0mirrormesh-test-port-${port}` }, 'for good'))) continue
    if (await listenAt({ port, host: '127.0.0.1' }, 'for a moment')) return port
  }
  throw new Error(`no free port of 127.0.0.1 in ${MOST_TRIES} tries from ${LOWEST_PORT} to ${end}`)
}

/** False when somebody is there. */
function listenAt(address: ListenOptions, how: 'for good' | 'for a moment'): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    )
    server.listen(address, () => {
      if (how === 'for good') {
        server.unref()
        resolve(true)
      } else server.close(() => resolve(true))
    })
  })
}

function firstPortOfKernel(): number {
  return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s/)[0])
}
