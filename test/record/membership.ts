/** Members, invites and admissions, as an author of records says them. */
import { inviteSecretHash } from '../../src/record/invite-token.ts'
import type { KeyPair } from '../../src/record/key.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import type { Author } from './author.ts'
import { admin, keyOf, NOW_MS } from './author.ts'

/** Who admits. */
export const node = keyOf('node')

export function member(author: Author, peer: KeyPair, site: string, version = 1): VerifiedRecord {
  return author.say(admin, 'member', {
    peer: peer.publicKey,
    site,
    region: 'emea',
    roles: ['site'],
    invite: null,
    expiresMs: null,
    version,
  })
}

export function invite(author: Author, site: string): VerifiedRecord {
  return author.say(admin, 'invite', {
    admitter: node.publicKey,
    secretHash: inviteSecretHash(new Uint8Array(32)),
    site,
    region: 'emea',
    roles: ['site'],
    expiresMs: NOW_MS + 1000,
  })
}

export function admit(
  author: Author,
  by: VerifiedRecord,
  peer: KeyPair,
  site: string,
  timeMs = NOW_MS,
  after?: VerifiedRecord,
): VerifiedRecord {
  return author.say(
    node,
    'member',
    {
      peer: peer.publicKey,
      site,
      region: 'emea',
      roles: ['site'],
      invite: by.id,
      expiresMs: null,
      version: 1,
    },
    { timeMs, ...(after === undefined ? {} : { after }) },
  )
}
