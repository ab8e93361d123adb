/** An error as the user meets it: what, where and why on one line, what to do next after it. */
import { asMirrorError, isMirrorError } from '../../src/base/errors.ts'
import { EXIT, type ExitStatus, exitStatusOf } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

/** What to look at, at this node. Other lines in hints are for whoever has the right, wherever that is. */
const LOOK = /\b((?:[Ss]ee|What is|again|now):? `?)mirrormesh (?=[a-z])/g

/**
 * Prints `error` to stderr and returns the exit status that goes with it.
 * @param self the words that ask the same node: a hint of the daemon's does not know them
 */
export function reportFailure(
  terminal: Terminal,
  error: unknown,
  { isInterrupted, self }: { readonly isInterrupted: boolean; readonly self: string },
): ExitStatus {
  if (isInterrupted && (!isMirrorError(error) || error.code === 'aborted')) {
    terminal.say('mirrormesh: interrupted')
    return EXIT.interrupted
  }
  const failure = asMirrorError(error, 'mirrormesh failed')
  const hint =
    failure.hint === undefined ? '' : ` ${failure.hint.replace(LOOK, `$1${self.replaceAll('$', '$$$$')} `)}`
  terminal.say(`mirrormesh: ${failure.message.replace(/([^.!?])$/, '$1.')}${hint}`)
  if (failure.code === 'internal') {
    const cause = failure.cause instanceof Error ? failure.cause : failure
    terminal.say(`This is a defect of mirrormesh. ${cause.stack ?? ''}`)
  }
  return exitStatusOf(failure.code)
}
