/**
 * Every path that mirrormesh uses, and nothing else decides one.
 *
 * `--home DIR` (or MIRRORMESH_HOME) holds everything in one folder. Without it root uses the system's folders, and
 * anybody else XDG's; a user without a node of their own talks to the machine's, when there is one.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

export interface Paths {
  readonly mode: 'home' | 'system' | 'user'
  readonly configFile: string
  /** What this user has been told of meshes that the machine is no member of. */
  readonly knownMeshesFile: string
  readonly keysDir: string
  readonly nodeKeyFile: string
  /** Digests of the tokens that open this node to clients. */
  readonly tokensFile: string
  /** Caps that were set while the daemon ran. */
  readonly limitsFile: string
  /** Fetches that an operator holds back. */
  readonly pausesFile: string
  /** Only on machines from which a mesh is administered. */
  readonly adminKeyFile: string
  /** Only until its owner takes it off the machine. */
  readonly recoveryKeyFile: string
  readonly storeDir: string
  /** Spools of imports; on the store's file system. */
  readonly tempDir: string
  /** Stat caches of imports: may be removed at any time while the daemon is stopped. */
  readonly cacheDir: string
  readonly runDir: string
  /** The daemon's API. */
  readonly socketFile: string
  /** Names the socket when `socketFile` would be too long for one. */
  readonly socketPointerFile: string
}

/** What the choice depends on, so that tests can give it. */
export interface PathSurroundings {
  readonly home?: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly uid: number
}

const SYSTEM = { config: '/etc/mirrormesh', data: '/var/lib/mirrormesh', run: '/run/mirrormesh' }

/** sun_path is 108 bytes with its NUL (unix(7)). */
export const MAX_SOCKET_PATH_BYTES = 107

export function choosePaths({ home, env, uid }: PathSurroundings): Paths {
  const chosen = home ?? nonEmpty(env.MIRRORMESH_HOME)
  if (chosen !== undefined) {
    const dir = resolve(chosen)
    return layOut('home', { config: dir, data: dir, run: join(dir, 'run') })
  }
  if (uid === 0) return layOut('system', SYSTEM)
  const userHome = nonEmpty(env.HOME) ?? homedir()
  const data = join(nonEmpty(env.XDG_DATA_HOME) ?? join(userHome, '.local/share'), 'mirrormesh')
  const runtime = nonEmpty(env.XDG_RUNTIME_DIR)
  const user = layOut('user', {
    config: join(nonEmpty(env.XDG_CONFIG_HOME) ?? join(userHome, '.config'), 'mirrormesh'),
    data,
    run: runtime === undefined ? join(data, 'run') : join(runtime, 'mirrormesh'),
  })
  const system = layOut('system', SYSTEM)
  const { knownMeshesFile } = user
  return !existsSync(user.configFile) && existsSync(system.socketFile) ? { ...system, knownMeshesFile } : user
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}

function layOut(mode: Paths['mode'], dirs: { config: string; data: string; run: string }): Paths {
  const keysDir = join(dirs.data, 'keys')
  return {
    mode,
    configFile: join(dirs.config, 'config.yaml'),
    knownMeshesFile: join(dirs.config, 'known-meshes.json'),
    keysDir,
    nodeKeyFile: join(keysDir, 'node.key'),
    tokensFile: join(keysDir, 'tokens.json'),
    adminKeyFile: join(keysDir, 'admin.key'),
    recoveryKeyFile: join(keysDir, 'recovery.key'),
    limitsFile: join(dirs.data, 'limits.json'),
    pausesFile: join(dirs.data, 'pauses.json'),
    storeDir: join(dirs.data, 'store'),
    tempDir: join(dirs.data, 'tmp'),
    cacheDir: join(dirs.data, 'cache'),
    runDir: dirs.run,
    socketFile: join(dirs.run, 'api.sock'),
    socketPointerFile: join(dirs.run, 'api.sock.path'),
  }
}

/**
 * Where a daemon binds its socket: in the run folder, or, when that path is too long for the kernel, in a folder of
 * its own (which the daemon must create with mode 0700 and own) named by a hash of the real place.
 */
export function socketToBind(
  paths: Paths,
  { env, uid }: PathSurroundings,
): { file: string; privateDir?: string } {
  if (Buffer.byteLength(paths.socketFile) <= MAX_SOCKET_PATH_BYTES) return { file: paths.socketFile }
  const name = createHash('sha256').update(paths.socketFile).digest('hex').slice(0, 16)
  const places = [nonEmpty(env.XDG_RUNTIME_DIR) ?? tmpdir(), '/tmp'].map((place) => {
    const privateDir = join(place, `mirrormesh-${uid}-${name}`)
    return { file: join(privateDir, 'api.sock'), privateDir }
  })
  // The folder of temporary files may be too deep itself.
  return places.find(({ file }) => Buffer.byteLength(file) <= MAX_SOCKET_PATH_BYTES)!
}

/** Where a client finds the socket of the daemon of these paths. */
export function socketToDial(paths: Paths): string {
  if (Buffer.byteLength(paths.socketFile) <= MAX_SOCKET_PATH_BYTES) return paths.socketFile
  try {
    return readFileSync(paths.socketPointerFile, 'utf8').trim()
  } catch {
    return paths.socketFile
  }
}
