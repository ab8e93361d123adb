/** Another node's API, asked over TCP: --api URL --token-file FILE, or MIRRORMESH_API and MIRRORMESH_TOKEN_FILE. */
import { readFile, stat } from 'node:fs/promises'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'

export interface RemoteApi {
  readonly url: URL
  readonly tokenFile: string
}

/** Verbs that work on this machine, with or without a daemon: they never ask an API. */
const LOCAL_VERBS: ReadonlySet<string> = new Set(['init', 'join', 'daemon', 'config', 'completion'])

/** @throws MirrorError `invalid` when one is given without the other, or the URL is none */
export function chooseRemote(
  flags: { readonly api: string | undefined; readonly tokenFile: string | undefined },
  env: Readonly<Record<string, string | undefined>>,
  verb: string | undefined,
): RemoteApi | undefined {
  if (flags.api !== undefined && LOCAL_VERBS.has(verb ?? '')) {
    throw new MirrorError('invalid', `${verb} works on this machine alone and takes no --api`)
  }
  const address = flags.api ?? (env.MIRRORMESH_API || undefined)
  const tokenFile = flags.tokenFile ?? (env.MIRRORMESH_TOKEN_FILE || undefined)
  if (address === undefined) {
    if (flags.tokenFile === undefined) return undefined
    throw new MirrorError('invalid', '--token-file goes with --api URL')
  }
  if (tokenFile === undefined) {
    throw new MirrorError('invalid', `the API at ${address} needs a token: --token-file FILE`, {
      hint: 'Make one at that node: mirrormesh token create --name NAME --scope operate > FILE',
    })
  }
  const url = URL.parse(address)
  const isPlain = url !== null && url.pathname === '/' && url.search === '' && url.username === ''
  if (!isPlain || !/^https?:$/.test(url.protocol)) {
    throw new MirrorError('invalid', `--api is a URL like https://node.example:8443, not ${address}`)
  }
  return { url, tokenFile }
}

/** @throws MirrorError `refused` when others may read it, as for the file of a key */
export async function readTokenFile(file: string): Promise<string> {
  let text: string
  try {
    const { mode } = await stat(file)
    if ((mode & 0o077) !== 0) {
      throw new MirrorError('refused', `the token file ${file} can be read by others`, {
        hint: `If nobody has taken it: chmod 600 ${file}`,
      })
    }
    text = (await readFile(file, 'utf8')).trim()
  } catch (error) {
    throw asMirrorError(error, `read the token file ${file}`)
  }
  if (/^mmt_[\w-]{20,200}$/.test(text)) return text
  throw new MirrorError('invalid', `${file} does not hold a token: one line that begins with mmt_`)
}
