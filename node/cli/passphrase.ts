/** Asks for a passphrase, unseen; for scripts it comes from a file that MIRRORMESH_PASSPHRASE_FILE names. */
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { Context } from './context.ts'

const SHORTEST = 8

/** @throws MirrorError `refused` when there is no terminal to ask on, and no file */
export async function askPassphrase({ terminal, env, signal }: Context, question: string): Promise<string> {
  const file = env.MIRRORMESH_PASSPHRASE_FILE
  if (file !== undefined && file !== '') {
    try {
      return (await readFile(file, 'utf8')).replace(/\r?\n[\s\S]*$/, '')
    } catch (error) {
      throw asMirrorError(error, `read the passphrase, ${file}`)
    }
  }
  if (!terminal.isStdinTty) {
    throw new MirrorError(
      'refused',
      `${question.replace(/,$/, '')} is needed, and there is no terminal to ask on`,
      {
        hint: 'For a script: a file with it, that nobody else can read, named by MIRRORMESH_PASSPHRASE_FILE.',
      },
    )
  }
  // What is typed is echoed to an output that shows nothing.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const prompt = createInterface({ input: process.stdin, output: silent, terminal: true })
  terminal.err.stream.write(`${question.replace(/,$/, '')}: `)
  try {
    return await prompt.question('', { signal })
  } finally {
    prompt.close()
    terminal.err.stream.write('\n')
  }
}

/** Twice, on a terminal. @throws MirrorError `invalid` for one that is short, or not repeated */
export async function askNewPassphrase(context: Context): Promise<string> {
  const passphrase = await askPassphrase(context, 'New passphrase')
  if ([...passphrase].length < SHORTEST)
    throw new MirrorError(
      'invalid',
      `a passphrase has ${SHORTEST} characters at least; several words are better`,
    )
  const isFromFile = (context.env.MIRRORMESH_PASSPHRASE_FILE ?? '') !== ''
  if (!isFromFile && (await askPassphrase(context, 'The same again')) !== passphrase)
    throw new MirrorError('invalid', 'the two are not the same: nothing was changed')
  return passphrase
}
