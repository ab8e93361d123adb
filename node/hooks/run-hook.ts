/** Carries out one hook for one event: a program with the facts in its environment, or a signed request. */
import { spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { HookEvent, HookEventName } from './hook-events.ts'

export interface Hook {
  readonly on: readonly HookEventName[]
  /** Pattern of tree names. */
  readonly tree: string
  /** Program and arguments, run without a shell. */
  readonly command?: readonly string[] | undefined
  readonly url?: string | undefined
  /** Of a webhook: the key of its signature, the file's bytes without blanks at the ends. */
  readonly secretFile?: string | undefined
  readonly timeoutSeconds: number
}

/** Of what a program prints, for the log. */
const MAX_OUTPUT = 2000

/** @throws MirrorError when it did not succeed: exit status, HTTP status, or how it could not be started */
export async function runHook(hook: Hook, event: HookEvent, signal: AbortSignal): Promise<void> {
  if (hook.command !== undefined) await runCommand(hook, hook.command, event, signal)
  if (hook.url !== undefined) await post(hook, hook.url, event, signal)
}

/** No input; the group of processes ends with it. */
function runCommand(
  { timeoutSeconds }: Hook,
  [program, ...args]: readonly string[],
  { event, tree, sequence, snapshot, site, checkouts, reason }: HookEvent,
  signal: AbortSignal,
): Promise<void> {
  const fail = (why: string, output = ''): MirrorError =>
    new MirrorError('io', `the hook ${program} ${why}${output === '' ? '' : `: ${output}`}`, {
      facts: { tree, event },
    })
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: {
        ...process.env,
        MIRRORMESH_EVENT: event,
        MIRRORMESH_TREE: tree,
        MIRRORMESH_SEQUENCE: String(sequence),
        MIRRORMESH_SNAPSHOT: snapshot,
        MIRRORMESH_SITE: site,
        MIRRORMESH_CHECKOUTS: checkouts.join('\n'),
        MIRRORMESH_REASON: reason,
      },
    })
    let output = ''
    const note = (piece: Buffer): void => {
      output = (output + piece.toString('utf8')).slice(-MAX_OUTPUT)
    }
    child.stdout.on('data', note)
    child.stderr.on('data', note)
    const end = (): void => {
      if (child.pid === undefined) return
      try {
        process.kill(-child.pid, 'SIGKILL')
      } catch (error) {
        // It has ended meanwhile.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    }
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      end()
    }, timeoutSeconds * 1000)
    signal.addEventListener('abort', end, { once: true })
    const finish = (error?: MirrorError): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      if (error === undefined) resolve()
      else reject(error)
    }
    child.once('error', (error) => finish(fail(`cannot be started (${error.message})`)))
    child.once('close', (status, killed) => {
      if (status === 0) finish()
      else if (isLate) finish(fail(`did not end within ${timeoutSeconds} s`, output.trim()))
      else finish(fail(status === null ? `was ended by ${killed}` : `ended with ${status}`, output.trim()))
    })
    if (signal.aborted) end()
  })
}

async function post(
  { secretFile, timeoutSeconds }: Hook,
  url: string,
  event: HookEvent,
  signal: AbortSignal,
): Promise<void> {
  const body = JSON.stringify(event)
  const facts = { tree: event.tree, event: event.event }
  const headers: Record<string, string> = { 'content-type': 'application/json', 'user-agent': 'mirrormesh' }
  if (secretFile !== undefined) headers['mirrormesh-signature'] = `sha256=${await sign(secretFile, body)}`
  let response: Response
  try {
    response = await fetch(url, {
      method: 'POST',
      body,
      headers,
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutSeconds * 1000)]),
    })
    await response.body?.cancel()
  } catch (error) {
    const { message, cause } = error as Error
    const why = cause instanceof Error ? cause.message : message
    throw new MirrorError('unreachable', `the hook ${url} did not answer: ${why}`, { facts, cause: error })
  }
  if (!response.ok) throw new MirrorError('io', `the hook ${url} answered ${response.status}`, { facts })
}

async function sign(secretFile: string, body: string): Promise<string> {
  let secret: string
  try {
    secret = (await readFile(secretFile, 'utf8')).trim()
  } catch (error) {
    throw asMirrorError(error, `read the secret of a hook, ${secretFile}`)
  }
  if (secret === '') throw new MirrorError('invalid', `the secret of a hook, ${secretFile}, is empty`)
  return createHmac('sha256', secret).update(body).digest('hex')
}
