/**
 * Runs what a page of the documentation shows of a terminal, and compares. In its `console` blocks
 *
 *     hq$ mirrormesh tree list
 *     TREE   HEAD …
 *
 * a line with a prompt is a command at that site; what follows is what it prints, stdout and stderr together. `…` stands for
 * anything within a line, a line of its own for any lines. Commands run in one shared folder, each site with a home of its own
 * there; `VAR=$(...)` is known to later commands, a daemon is started by `mirrormesh daemon &` and ended by `kill %1`. What else ends in
 * `&` goes on in the background, and `wait` waits for it.
 * Addresses in 10.0.0.0/8 become free ports of this machine, in commands, and themselves again in what is printed. A command
 * that only reads is tried again for a while: what it shows may be on its way.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { freePort } from './node/program.ts'

export interface Step {
  readonly site: string
  readonly command: string
  /** Lines. */
  readonly expected: readonly string[]
  /** Of the command, from 1. */
  readonly line: number
}

const PROGRAMS = join(import.meta.dirname, '../scripts')
const READS =
  /^mirrormesh (?:status|events|ls|(?:tree|pin|member|invite|site|grant|token|admin|fetch) (?:list|show|history|pending|requests|gates)|member requests|tree takedown [^ ]+ --list)\b/
const PATIENCE_MS = 60_000
/** Of a verb that takes over ten seconds: only a busy machine has them. */
const PROGRESS = /^(?:adopt|checkout|drop|get|publish|roll back|verify|wait) .+: [a-z ]+(?:, .+)?\n/gm

export function readTranscript(text: string): Step[] {
  const steps: { site: string; command: string; expected: string[]; line: number }[] = []
  let isConsole = false
  for (const [index, line] of text.split('\n').entries()) {
    if (line.startsWith('```')) isConsole = line === '```console'
    else if (isConsole) {
      const [, site, command] = /^([a-z][a-z0-9-]*)\$ (.+)$/.exec(line) ?? []
      if (site !== undefined && command !== undefined)
        steps.push({ site, command, expected: [], line: index + 1 })
      else steps.at(-1)?.expected.push(line)
    }
  }
  return steps
}

export interface Terminal {
  /** What was printed; with `isExpected`, a command that only reads is tried until that says yes. */
  run(step: Step, isExpected?: (printed: string) => boolean): Promise<string>
}

export function openTerminal(t: TestContext, dir: string): Terminal {
  const ports = new Map<string, number>()
  const daemons = new Map<string, ChildProcess>()
  const background = new Map<string, Promise<unknown>>()
  const variables = join(dir, '.variables')
  writeFileSync(variables, '')
  t.after(() => Promise.all([...daemons.keys()].map((site) => stop(site, 'SIGKILL'))))

  async function stop(site: string, signal: NodeJS.Signals): Promise<void> {
    const daemon = daemons.get(site)
    daemons.delete(site)
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return
    const ended = new Promise((resolve) => daemon.once('close', resolve))
    daemon.kill(signal)
    await ended
  }

  async function localised(command: string): Promise<string> {
    for (const [address] of command.matchAll(/\b10\.\d+\.\d+\.\d+:\d+\b/g))
      if (!ports.has(address)) ports.set(address, await freePort())
    let local = command
    for (const [address, port] of ports) local = local.replaceAll(address, `127.0.0.1:${port}`)
    return local
  }

  function shell(site: string, command: string): ChildProcess {
    const env = {
      ...process.env,
      PATH: `${PROGRAMS}:${process.env.PATH}`,
      HOME: dir,
      MIRRORMESH_HOME: join(dir, '.homes', site),
    }
    mkdirSync(join(dir, '.homes'), { recursive: true })
    return spawn('sh', ['-c', command], { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'] })
  }

  function gather(child: ChildProcess, onText: (text: string) => void): void {
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', onText)
  }

  async function startDaemon(site: string, command: string): Promise<string> {
    const daemon = shell(
      site,
      command.slice(0, -1).replace('mirrormesh daemon', 'exec mirrormesh daemon').trim(),
    )
    daemons.set(site, daemon)
    let printed = ''
    await new Promise<void>((resolve, reject) => {
      daemon.once('close', () => reject(new Error(`the daemon of ${site} ended:\n${printed}`)))
      gather(daemon, (text) => {
        printed += text
        if (/^ready: /m.test(printed)) resolve()
      })
    })
    return ''
  }

  async function once(site: string, command: string): Promise<string> {
    const local = await localised(command)
    if (/^(?:[A-Z_]+=\S+ )*mirrormesh daemon.*&$/.test(command)) return startDaemon(site, local)
    const [, flag] = /^kill (-9 )?%1$/.exec(command) ?? [undefined, null]
    if (flag !== null) {
      await stop(site, flag === undefined ? 'SIGTERM' : 'SIGKILL')
      return ''
    }
    if (command === 'wait') {
      await background.get(site)
      return ''
    }
    if (command.endsWith(' &')) {
      const child = shell(site, `. ./.variables\nexec ${local.slice(0, -2)}`)
      background.set(site, new Promise((resolve) => child.once('close', resolve)))
      t.after(() => child.exitCode ?? child.kill('SIGKILL'))
      return ''
    }
    const [, name] = /^([A-Z][A-Z_]*)=/.exec(command) ?? []
    const keep = name === undefined ? '' : `\nprintf "${name}='%s'\\n" "$${name}" >> .variables`
    const child = shell(site, `. ./.variables\n${local}${keep}`)
    let printed = ''
    gather(child, (text) => {
      printed += text
    })
    await new Promise((resolve) => child.once('close', resolve))
    for (const [address, port] of ports) printed = printed.replaceAll(`127.0.0.1:${port}`, address)
    return printed.replace(PROGRESS, '')
  }

  return {
    async run({ site, command }, isExpected = () => true) {
      const deadlineMs = performance.now() + PATIENCE_MS
      for (;;) {
        const printed = await once(site, command)
        if (isExpected(printed) || !READS.test(command) || performance.now() > deadlineMs) return printed
      }
    },
  }
}

/** The pattern of what a page shows. */
export function patternOf(expected: readonly string[]): RegExp {
  const lines = expected.map((line) =>
    line.trim() === '…'
      ? '(?:[^\\n]*\\n)*?'
      : `${line
          .trimEnd()
          .split('…')
          .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/ {2,}/g, ' {2,}'))
          .join('[^\\n]*')}[ ]*\\n`,
  )
  return new RegExp(`^${lines.join('')}$`)
}

export function transcriptOf(file: string): Step[] {
  return readTranscript(readFileSync(file, 'utf8'))
}
