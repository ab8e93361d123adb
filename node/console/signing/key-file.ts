/**
 * A key file, opened in this page: the seed becomes a key of WebCrypto that cannot be taken out again, and is
 * forgotten. It is never sent, never stored, and gone with the page.
 */
import { fromBase64, publicKeyOf } from './encode.ts'
import { scrypt } from './scrypt.ts'

export interface SigningKey {
  readonly peer: string
  readonly publicKey: Uint8Array<ArrayBuffer>
  sign(message: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>
}

interface Sealed {
  readonly kdf: string
  readonly n: number
  readonly r: number
  readonly p: number
  readonly salt: string
  readonly nonce: string
  readonly text: string
}

interface KeyFile {
  readonly mirrormeshKey?: unknown
  readonly type?: unknown
  readonly peer?: unknown
  readonly seed?: unknown
  readonly sealed?: Sealed
}

export const MAX_KEY_FILE_BYTES = 16 * 1024

/** RFC 8410: the fixed DER around the 32 bytes of an Ed25519 seed. */
const PKCS8_PREFIX = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]

export function isProtected(text: string): boolean {
  return readFile(text).sealed !== undefined
}

/** @throws Error that says what is wrong, in words for the user, and quotes nothing of the file */
export async function openKeyFile(text: string, passphrase = ''): Promise<SigningKey> {
  if (globalThis.crypto?.subtle === undefined)
    throw new Error(
      'a browser signs only on https and on this machine itself; sign with the command line instead',
    )
  const file = readFile(text)
  if (typeof file.peer !== 'string') throw new Error('this key file does not say which key it holds')
  const publicKey = publicKeyOf(file.peer)
  const seed =
    file.sealed === undefined ? plainSeed(file) : await openSeed(file.sealed, file.peer, passphrase)
  if (seed.length !== 32) throw new Error('this key file does not hold a key')
  const pkcs8 = Uint8Array.from([...PKCS8_PREFIX, ...seed])
  const readable = await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', true, ['sign'])
  const { x = '' } = await crypto.subtle.exportKey('jwk', readable)
  const found = fromBase64(x)
  if (found.some((byte, i) => byte !== publicKey[i]))
    throw new Error('this file does not hold the key that it names')
  const key = await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', false, ['sign'])
  seed.fill(0)
  pkcs8.fill(0)
  return {
    peer: file.peer,
    publicKey,
    sign: async (message) => new Uint8Array(await crypto.subtle.sign('Ed25519', key, message)),
  }
}

function readFile(text: string): KeyFile {
  let file: KeyFile | null
  try {
    file = JSON.parse(text) as KeyFile | null
  } catch {
    // Without what the parser says: that quotes the text, and the text is the secret.
    throw new Error('this is not a key file of mirrormesh')
  }
  if (typeof file !== 'object' || file?.mirrormeshKey !== 1 || file.type !== 'ed25519')
    throw new Error('this is not a key file of mirrormesh, or one of a later version')
  return file
}

function plainSeed({ seed }: KeyFile): Uint8Array<ArrayBuffer> {
  if (typeof seed !== 'string' || !/^[\w-]{43}$/.test(seed))
    throw new Error('this key file does not hold a key')
  return fromBase64(seed)
}

async function openSeed(sealed: Sealed, peer: string, passphrase: string): Promise<Uint8Array<ArrayBuffer>> {
  if (sealed.kdf !== 'scrypt') throw new Error('this key is protected in a way that this page does not know')
  // As people type it: the same letters have several spellings in Unicode. As node/sealed-seed.ts does.
  const derived = await scrypt(passphrase.normalize('NFKC'), fromBase64(sealed.salt), sealed)
  const key = await crypto.subtle.importKey('raw', derived, 'AES-GCM', false, ['decrypt'])
  try {
    const opened = await crypto.subtle.decrypt(
      { name: 'AES-GCM', iv: fromBase64(sealed.nonce), additionalData: new TextEncoder().encode(peer) },
      key,
      fromBase64(sealed.text),
    )
    return new Uint8Array(opened)
  } catch {
    throw new Error('the key does not open with this passphrase')
  }
}
