/**
 * The network namespaces of emulated sites, and what runs in them. Namespaces are called `mm-ID-SITE`; ID is the number of
 * the process that made them.
 */
import { spawn } from 'node:child_process'
import { readdirSync, readlinkSync, statSync } from 'node:fs'
import { MirrorError } from '../../src/base/errors.ts'

const FOLDER = '/run/netns'
const NAME = /^mm-(\d+(?:x\d+)?)-(.+)$/

export function namespaceOf(id: string, site: string): string {
  return `mm-${id}-${site}`
}

/** Those that there are, with the emulator that they are of. */
export function listNamespaces(): { readonly name: string; readonly id: string }[] {
  let names: string[]
  try {
    names = readdirSync(FOLDER)
  } catch {
    return []
  }
  return names.flatMap((name) => {
    const id = NAME.exec(name)?.[1]
    return id === undefined ? [] : [{ name, id }]
  })
}

export async function addNamespaces(names: readonly string[]): Promise<void> {
  await batch(names.map((name) => `netns add ${name}`))
}

/** Ends what runs in them, and removes them. Those that are not there are none to remove. */
export async function removeNamespaces(names: readonly string[]): Promise<void> {
  const there = new Set(listNamespaces().map(({ name }) => name))
  const found = names.filter((name) => there.has(name))
  if (found.length === 0) return
  for (const pid of processesIn(found)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  try {
    await batch(found.map((name) => `netns del ${name}`))
  } catch (error) {
    // Another process may have removed some of them meanwhile.
    const left = new Set(listNamespaces().map(({ name }) => name))
    if (found.some((name) => left.has(name))) throw error
  }
}

/** The command that runs another in a namespace. It becomes that other: the same process. */
export function argumentsIn(namespace: string, command: readonly string[]): string[] {
  return ['nsenter', `--net=${FOLDER}/${namespace}`, '--', ...command]
}

export function processesIn(namespaces: readonly string[]): number[] {
  const wanted = new Set(namespaces.map((name) => `net:[${inodeOf(name)}]`))
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return []
    try {
      return wanted.has(readlinkSync(`/proc/${entry}/ns/net`)) ? [Number(entry)] : []
    } catch {
      // It has ended meanwhile, or is a thread of the kernel.
      return []
    }
  })
}

function inodeOf(name: string): number | undefined {
  return statSync(`${FOLDER}/${name}`, { throwIfNoEntry: false })?.ino
}

async function batch(lines: readonly string[]): Promise<void> {
  const child = spawn('ip', ['-force', '-batch', '-'], { stdio: ['pipe', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString()
  })
  child.stdin.on('error', () => undefined)
  child.stdin.end(`${lines.join('\n')}\n`)
  const status = await new Promise<number | null>((resolve, reject) =>
    child
      .once('error', (error) =>
        reject(
          new MirrorError('unsupported', `cannot run ip: ${error.message}`, {
            hint: 'The emulator needs iproute2 and util-linux.',
            cause: error,
          }),
        ),
      )
      .once('close', resolve),
  )
  if (status !== 0) throw new MirrorError('io', `ip ended with ${status}: ${said.trim()}`)
}
