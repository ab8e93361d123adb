/**
 * Which congestion control the sites' TCP has. A namespace takes the machine's own, which differs from machine to machine
 * (cubic here, BBR there), and with it every figure over a pipe that is full or loses packets.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { MirrorError } from '../../src/base/errors.ts'
import { argumentsIn } from './namespaces.ts'

/** What most machines have. */
export const DEFAULT_CONGESTION = 'cubic'

const SETTINGS = '/proc/sys/net/ipv4'
const ALLOWED = `${SETTINGS}/tcp_allowed_congestion_control`
const MAX_TRIES = 10

/** For all that is connected in these namespaces from now on. @throws MirrorError `unsupported` where the kernel lacks it */
export function chooseCongestion(namespaces: readonly string[], name: string): void {
  const available = readFileSync(`${SETTINGS}/tcp_available_congestion_control`, 'utf8').trim().split(' ')
  if (!available.includes(name))
    throw new MirrorError('unsupported', `the kernel has no congestion control ${name}`, {
      hint: `It has ${available.join(', ')}; others may come with: modprobe tcp_NAME.`,
    })
  for (let tries = 1; ; tries++) {
    try {
      setIn(namespaces, name)
      return
    } catch (error) {
      // Another emulator that starts at the same time may have taken back between two of ours what it had allowed.
      if (tries === MAX_TRIES) throw error
    }
  }
}

/** A namespace takes by itself only what the machine allows; it is allowed for as long as that takes. */
function setIn(namespaces: readonly string[], name: string): void {
  const allowed = readFileSync(ALLOWED, 'utf8').trim()
  const isAllowed = allowed.split(' ').includes(name)
  if (!isAllowed) writeFileSync(ALLOWED, `${allowed} ${name}`)
  try {
    const script = `echo "$0" > ${SETTINGS}/tcp_congestion_control`
    for (const namespace of namespaces) {
      const [program, ...args] = argumentsIn(namespace, ['sh', '-c', script, name])
      execFileSync(program!, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    }
  } finally {
    if (!isAllowed) writeFileSync(ALLOWED, allowed)
  }
}
