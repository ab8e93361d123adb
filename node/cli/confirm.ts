/** Destructive verbs ask on a terminal, and need --yes elsewhere. */
import { createInterface } from 'node:readline/promises'
import { MirrorError } from '../../src/base/errors.ts'
import type { Context } from './context.ts'

/** The plan has been shown by then. @throws MirrorError `refused` unless the user agrees */
export async function confirm(
  { terminal, signal }: Pick<Context, 'terminal' | 'signal'>,
  question: string,
  isAgreed: boolean,
): Promise<void> {
  if (isAgreed) return
  if (!terminal.isStdinTty) {
    throw new MirrorError('refused', 'nothing was done: there is no terminal to ask on', {
      hint: 'Say --yes when the plan is what you want.',
    })
  }
  const prompt = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await prompt.question(`${question} [y/N] `, { signal })
    if (/^y(es)?$/i.test(answer.trim())) return
  } finally {
    prompt.close()
  }
  throw new MirrorError('refused', 'nothing was done')
}
