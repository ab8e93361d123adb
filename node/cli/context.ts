/** What every verb is given. */
import type { Command } from 'commander'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { choosePaths, type Paths } from '../paths.ts'
import { type ApiClient, createApiClient } from './api-client.ts'
import type { ExitStatus } from './exit-codes.ts'
import type { RemoteApi } from './remote-api.ts'
import type { Terminal } from './terminal.ts'

export interface Context {
  readonly terminal: Terminal
  readonly clock: Clock
  readonly paths: Paths
  readonly env: Readonly<Record<string, string | undefined>>
  /** Fires on Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal
  readonly api: ApiClient
  /** The words that start this program with the same home, for hints: `mirrormesh --home X`. */
  readonly self: string
  /** Every verb with all its arguments and options, loaded in full. */
  allVerbs(): Promise<Command>
  /** Ends the verb with this status when it has run without an error (3 and 4 are not errors). */
  exitWith(status: ExitStatus): void
}

export function createContext(
  terminal: Terminal,
  options: Pick<Context, 'signal' | 'exitWith' | 'allVerbs'> & {
    home: string | undefined
    remote: RemoteApi | undefined
  },
): Context {
  const { env } = terminal
  const paths = choosePaths({ home: options.home, env, uid: process.getuid?.() ?? 0 })
  const { home, remote } = options
  const self = [
    'mirrormesh',
    ...(home === undefined ? [] : ['--home', home]),
    ...(remote === undefined ? [] : ['--api', remote.url.origin, '--token-file', remote.tokenFile]),
  ].join(' ')
  return {
    terminal,
    clock: systemClock,
    paths,
    env,
    signal: options.signal,
    self,
    exitWith: options.exitWith,
    allVerbs: options.allVerbs,
    api: createApiClient({ paths, self, remote }),
  }
}

/** Parses `value` as one of `choices`, or throws a usage error naming them. */
export function oneOf<T extends string>(what: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value)
  if (found !== undefined) return found
  throw new MirrorError('invalid', `${what} is one of ${choices.join(', ')}, not ${JSON.stringify(value)}`)
}
