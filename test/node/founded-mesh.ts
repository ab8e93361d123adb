/** A mesh as people make one: its first site with `init`, the others by an invite and `join`. */
import { succeed, succeedJson } from './program.ts'

export interface Founded {
  readonly adminKey: string
  readonly recoveryKey: string
}

export interface Place {
  readonly mesh?: string
  readonly site?: string
  readonly region?: string
  /** Any port of loopback by default: a site that others are to find after its restart needs one that stays. */
  readonly listen?: string
  readonly http?: string
}

/** Makes the home of the site that founds the mesh, with the keys of its admin. */
export function foundMesh(
  home: string,
  { mesh = 'm', site = 'hq', region = 'us', listen = '127.0.0.1:0', http = 'off' }: Place = {},
): Promise<Founded> {
  return succeedJson<Founded>([
    ...['init', '--home', home, '--mesh', mesh, '--site', site, '--region', region],
    ...['--listen', listen, '--http', http],
  ])
}

/** Makes the home of a further site: by an invite of `admin`, the home of one whose daemon runs. */
export async function joinMesh(
  home: string,
  admin: string,
  { site = 'lab', region = 'eu', listen = '127.0.0.1:0', http = 'off' }: Place = {},
): Promise<void> {
  const token = await succeed(['invite', '--home', admin, '--site', site, '--region', region])
  await succeed(['join', '--home', home, token.trim(), '--listen', listen, '--http', http])
}
