/**
 * A key's seed under a passphrase: scrypt (RFC 7914) makes the key of AES-256-GCM, and the PeerId that it belongs to is
 * authenticated with it. The parameters stand in the file, so that they can rise; what a file may ask for is bounded.
 */
import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto'
import { MirrorError } from '../src/base/errors.ts'

export interface SealedSeed {
  readonly kdf: 'scrypt'
  /** Cost: a power of two. Memory is 128 * n * r bytes. */
  readonly n: number
  readonly r: number
  readonly p: number
  /** These are base64url. */
  readonly salt: string
  readonly nonce: string
  /** The encrypted seed and its tag of 16 bytes. */
  readonly text: string
}

/** 128 MiB and about half a second: what an attacker pays for each guess. */
const COST = { n: 2 ** 17, r: 8, p: 1 }
const MAX_MEMORY_BYTES = 512 * 1024 * 1024
const TAG_BYTES = 16
const SEED_BYTES = 32

export async function sealSeed(seed: Uint8Array, peer: string, passphrase: string): Promise<SealedSeed> {
  const salt = randomBytes(16)
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', await derive(passphrase, salt, COST), nonce)
  cipher.setAAD(Buffer.from(peer))
  const text = Buffer.concat([cipher.update(seed), cipher.final(), cipher.getAuthTag()])
  return {
    kdf: 'scrypt',
    ...COST,
    salt: salt.toString('base64url'),
    nonce: nonce.toString('base64url'),
    text: text.toString('base64url'),
  }
}

/** @throws MirrorError `refused` for another passphrase or a changed file, `corrupt` for what is no sealed seed */
export async function openSeed(
  value: unknown,
  peer: string,
  passphrase: string,
  where: string,
): Promise<Uint8Array> {
  const sealed = checkSealed(value, where)
  const text = Buffer.from(sealed.text, 'base64url')
  const key = await derive(passphrase, Buffer.from(sealed.salt, 'base64url'), sealed)
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(sealed.nonce, 'base64url'))
  decipher.setAAD(Buffer.from(peer))
  decipher.setAuthTag(text.subarray(-TAG_BYTES))
  try {
    return new Uint8Array(Buffer.concat([decipher.update(text.subarray(0, -TAG_BYTES)), decipher.final()]))
  } catch {
    throw new MirrorError('refused', `${where} does not open with this passphrase`, {
      hint: 'Try again. Nobody can tell what it was: without it the key is lost.',
    })
  }
}

function checkSealed(value: unknown, where: string): SealedSeed {
  const { kdf, n, r, p, salt, nonce, text } = (value ?? {}) as Partial<Record<keyof SealedSeed, unknown>>
  if (kdf !== 'scrypt')
    throw new MirrorError('unsupported', `${where} is protected in a way that this program does not know`)
  const isWhole = (one: unknown, most: number): one is number =>
    Number.isSafeInteger(one) && (one as number) >= 1 && (one as number) <= most
  const isSound =
    isWhole(n, 2 ** 22) &&
    Number.isInteger(Math.log2(n)) &&
    n >= 2 &&
    isWhole(r, 32) &&
    isWhole(p, 16) &&
    128 * n * r <= MAX_MEMORY_BYTES &&
    [salt, nonce, text].every((each) => typeof each === 'string') &&
    Buffer.from(nonce as string, 'base64url').length === 12 &&
    Buffer.from(text as string, 'base64url').length === SEED_BYTES + TAG_BYTES
  if (!isSound) throw new MirrorError('corrupt', `${where} is not a key file`)
  return { kdf, n, r, p, salt: salt as string, nonce: nonce as string, text: text as string }
}

function derive(
  passphrase: string,
  salt: Uint8Array,
  { n, r, p }: Pick<SealedSeed, 'n' | 'r' | 'p'>,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // As people type it: the same letters have several spellings in Unicode.
    scrypt(
      passphrase.normalize('NFKC'),
      salt,
      32,
      { N: n, r, p, maxmem: 2 * MAX_MEMORY_BYTES },
      (error, key) => {
        if (error === null) resolve(key)
        else reject(error)
      },
    )
  })
}
