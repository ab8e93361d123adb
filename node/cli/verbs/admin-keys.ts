/** `admin new-key` and `admin protect`: the files in which people keep their keys. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { asMirrorError, MirrorError } from '../../../src/base/errors.ts'
import type { KeyPair } from '../../../src/record/key.ts'
import type { Context } from '../context.ts'
import { askNewPassphrase } from '../passphrase.ts'

export function define(command: Command, context: Context): void {
  command
    .command('new-key')
    .description('make a key, for a new admin or a new recovery; prints its PeerId')
    .argument('<FILE>', 'where its secret goes, readable by you alone')
    .option('--passphrase', 'ask for one, without which the file is of no use')
    .action((file: string, options: { passphrase?: boolean }) => newKey(context, file, options))
  command
    .command('protect')
    .description("put a passphrase on the file of a person's key, or another one")
    .argument('[FILE]', 'the key; that of the admin in this home when left out')
    .option('--remove', 'take the passphrase away instead')
    .addHelpText(
      'after',
      '\nA passphrase is asked for on the terminal; for scripts, MIRRORMESH_PASSPHRASE_FILE names a file that holds it.',
    )
    .action((file: string | undefined, options: { remove?: boolean }) => protect(context, file, options))
}

async function newKey(
  context: Context,
  file: string,
  { passphrase }: { passphrase?: boolean },
): Promise<void> {
  const { generateKeyPair } = await import('../../../src/record/key.ts')
  const key = generateKeyPair()
  const path = resolve(file)
  await write(path, await fileOf(context, key, passphrase === true), true)
  await context.terminal.print(`${key.peer}\n`)
  context.terminal.say(
    `the secret is in ${path}: keep it off the nodes. To make it an admin: ${context.self} admin propose --add ${key.peer}`,
  )
}

async function protect(
  context: Context,
  file: string | undefined,
  { remove }: { remove?: boolean },
): Promise<void> {
  const { loadOwnKey } = await import('../sign.ts')
  const path = file === undefined ? context.paths.adminKeyFile : resolve(file)
  if (path === context.paths.nodeKeyFile) {
    throw new MirrorError(
      'refused',
      `${path} is the key of this node, which its daemon must read without you`,
    )
  }
  const key = await loadOwnKey(context, path, 'the key')
  await write(path, await fileOf(context, key, remove !== true), false)
  await context.terminal.print(
    `${path}: ${remove === true ? 'no passphrase any more' : 'protected by the passphrase'}\n`,
  )
}

async function fileOf(context: Context, key: KeyPair, isSealed: boolean): Promise<string> {
  const { encodeKeyFile, encodeSealedKeyFile } = await import('../../keys.ts')
  return isSealed ? encodeSealedKeyFile(key, await askNewPassphrase(context)) : encodeKeyFile(key)
}

async function write(path: string, text: string, isNew: boolean): Promise<void> {
  const { writeDurably } = await import('../../durable-file.ts')
  try {
    await writeDurably(path, text, { mode: 0o600, isNew })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new MirrorError('conflict', `${path} is there already, and a key is never written over`, {
        cause: error,
      })
    }
    throw asMirrorError(error, `write the key, ${path}`)
  }
}
