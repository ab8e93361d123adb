/**
 * Keys on disk: one JSON file each, mode 0600, under a passphrase if its owner wants. A key that others may read is refused,
 * as ssh does.
 * Nothing here prints or returns a secret but the key pair itself.
 */
import { readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { asMirrorError, isMirrorError, MirrorError } from '../src/base/errors.ts'
import { generateKeyPair, type KeyPair, keyPairFromSeed } from '../src/record/key.ts'
import { makePrivateDir, writeDurably } from './durable-file.ts'
import { openSeed, type SealedSeed, sealSeed } from './sealed-seed.ts'

interface KeyFile {
  readonly mirrormeshKey: 1
  readonly type: 'ed25519'
  /** The public half, for people. */
  readonly peer: string
  /** base64url of 32 bytes; absent when it is sealed. */
  readonly seed?: string
  readonly sealed?: SealedSeed
}

/**
 * The key in `file`. `what` names it: "the key of an admin".
 * @param askPassphrase for a file that is protected by one
 * @throws MirrorError `not-found`, `refused` (others may read it, or there is no passphrase or the wrong one), `corrupt`
 */
export async function loadKey(
  file: string,
  what: string,
  askPassphrase?: (question: string) => Promise<string>,
): Promise<KeyPair> {
  let text: string
  try {
    const { mode } = await stat(file)
    if ((mode & 0o077) !== 0) {
      throw new MirrorError(
        'refused',
        `${what}, ${file}, can be read by others (mode ${(mode & 0o777).toString(8)})`,
        {
          hint: `If nobody has taken it: chmod 600 ${file}`,
        },
      )
    }
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw asMirrorError(error, `read ${what}, ${file}`)
  }
  return decodeKeyFile(text, `${what}, ${file},`, askPassphrase)
}

/** The key in `file`, made first when there is none. */
export async function loadOrCreateKey(file: string, what: string): Promise<KeyPair> {
  try {
    return await loadKey(file, what)
  } catch (error) {
    if (!isMirrorError(error, 'not-found')) throw error
  }
  const key = generateKeyPair()
  await makePrivateDir(dirname(file))
  try {
    await writeDurably(file, encodeKeyFile(key), { mode: 0o600, isNew: true })
  } catch (error) {
    throw asMirrorError(error, `write ${what}, ${file}`)
  }
  return key
}

export function encodeKeyFile(key: KeyPair): string {
  const content: KeyFile = {
    mirrormeshKey: 1,
    type: 'ed25519',
    peer: key.peer,
    seed: Buffer.from(key.seed).toString('base64url'),
  }
  return `${JSON.stringify(content, null, 2)}\n`
}

/** As `encodeKeyFile`, with the secret under a passphrase. */
export async function encodeSealedKeyFile(key: KeyPair, passphrase: string): Promise<string> {
  const sealed = await sealSeed(key.seed, key.peer, passphrase)
  const content: KeyFile = { mirrormeshKey: 1, type: 'ed25519', peer: key.peer, sealed }
  return `${JSON.stringify(content, null, 2)}\n`
}

async function decodeKeyFile(
  text: string,
  where: string,
  askPassphrase: ((question: string) => Promise<string>) | undefined,
): Promise<KeyPair> {
  let content: Partial<KeyFile>
  try {
    content = JSON.parse(text) as Partial<KeyFile>
  } catch {
    // Without the cause: what the parser says quotes the text, and that is the secret.
    throw new MirrorError('corrupt', `${where} is not a key file`)
  }
  if (content?.mirrormeshKey !== 1 || content.type !== 'ed25519') {
    throw new MirrorError('unsupported', `${where} is of a version that this program does not know`)
  }
  const key = keyPairFromSeed(await seedOf(content, where, askPassphrase))
  if (key.peer !== content.peer)
    throw new MirrorError('corrupt', `${where} does not hold the key that it names`)
  return key
}

async function seedOf(
  { seed, sealed, peer = '' }: Partial<KeyFile>,
  where: string,
  askPassphrase: ((question: string) => Promise<string>) | undefined,
): Promise<Uint8Array> {
  if (sealed === undefined) return new Uint8Array(Buffer.from(seed ?? '', 'base64url'))
  if (askPassphrase === undefined) {
    throw new MirrorError(
      'refused',
      `${where} is protected by a passphrase, and nobody is here to ask for it`,
      {
        hint: 'The key of a node must be without one: it is read when the daemon starts.',
      },
    )
  }
  return openSeed(sealed, peer, await askPassphrase(`Passphrase of ${where}`), where)
}
