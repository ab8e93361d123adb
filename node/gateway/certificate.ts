/**
 * The certificate and key of a listener (the gateway, the API), from files that somebody else renews: looked at again now and then, and taken over
 * without a restart. Connections that are open go on with the old one.
 */
import { readFileSync, statSync } from 'node:fs'
import type { Server } from 'node:https'
import { createSecureContext } from 'node:tls'
import type { Clock } from '../../src/base/clock.ts'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { GatewayLog } from './gateway-log.ts'

export interface CertificateFiles {
  /** PEM, the whole chain. */
  readonly certificate: string
  /** PEM, without a passphrase. */
  readonly key: string
}

export interface LoadedCertificate {
  readonly cert: Buffer
  readonly key: Buffer
}

/** Who has it, in messages and names of events. */
export type CertificateOwner = 'gateway' | 'api'

const LOOK_MS = 60_000

/** @throws MirrorError `not-found` or `io` for a file that cannot be read, `invalid` when the two are no certificate and its key */
export function loadCertificate(
  { certificate, key }: CertificateFiles,
  owner: CertificateOwner = 'gateway',
): LoadedCertificate {
  const read = (file: string, what: string): Buffer => {
    try {
      return readFileSync(file)
    } catch (error) {
      throw asMirrorError(error, `read ${what} of the ${owner}, ${file}`)
    }
  }
  const loaded = { cert: read(certificate, 'the certificate'), key: read(key, 'the key') }
  try {
    createSecureContext(loaded)
  } catch (error) {
    throw new MirrorError(
      'invalid',
      `${certificate} and ${key} are not a certificate and its key: ${(error as Error).message}`,
      { cause: error, hint: 'Both are PEM files; the key has no passphrase.' },
    )
  }
  return loaded
}

/** Returns the function that ends it. */
export function followCertificate(
  server: Pick<Server, 'setSecureContext'>,
  files: CertificateFiles,
  {
    clock,
    log,
    owner = 'gateway',
    onTaken = () => undefined,
  }: {
    readonly clock: Clock
    readonly log: GatewayLog
    readonly owner?: CertificateOwner
    readonly onTaken?: (loaded: LoadedCertificate) => void
  },
): () => void {
  let seen = stampOf(files)
  let cancel = clock.after(LOOK_MS, look)
  function look(): void {
    cancel = clock.after(LOOK_MS, look)
    const now = stampOf(files)
    // Between the two files of a renewal they do not fit: the next look finds both.
    if (now === undefined || now === seen) return
    try {
      const loaded = loadCertificate(files, owner)
      server.setSecureContext(loaded)
      onTaken(loaded)
      seen = now
      log.info({ certificate: files.certificate }, `${owner}.certificate-renewed`)
    } catch (error) {
      log.warn({ err: error, certificate: files.certificate }, `${owner}.certificate-unusable`)
    }
  }
  return () => cancel()
}

function stampOf({ certificate, key }: CertificateFiles): string | undefined {
  try {
    return [certificate, key].map((file) => `${statSync(file).mtimeMs}:${statSync(file).size}`).join(' ')
  } catch {
    return undefined
  }
}
