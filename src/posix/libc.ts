/**
 * The door to libc calls that Node lacks, through koffi. Loaded on first use, once a thread: the CLI's reading verbs
 * never pay for it. Paths are raw bytes; a failed call throws an error shaped like Node's own (`code`, `errno`,
 * `syscall`, `path`), so that callers treat both alike.
 *
 * Owns the binding and the error's shape; what each call means is said by the files beside it.
 */
import { createRequire } from 'node:module'
import { getSystemErrorName } from 'node:util'
import { printableName } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'

type Argument = number | bigint | Uint8Array | null

export interface LibcCall {
  (...args: Argument[]): number
  async(...args: [...Argument[], (error: unknown, result: number) => void]): void
}

interface Koffi {
  load(path: string | null): { func(declaration: string): LibcCall }
  errno(): number
}

const DECLARATIONS = {
  utimensat: 'int utimensat(int dir, const uint8_t *path, const int64_t *times, int flags)',
  futimens: 'int futimens(int fd, const int64_t *times)',
  renameat2:
    'int renameat2(int fromDir, const uint8_t *from, int toDir, const uint8_t *to, unsigned int flags)',
  llistxattr: 'long llistxattr(const uint8_t *path, _Out_ uint8_t *list, unsigned long size)',
  flistxattr: 'long flistxattr(int fd, _Out_ uint8_t *list, unsigned long size)',
  lgetxattr:
    'long lgetxattr(const uint8_t *path, const uint8_t *name, _Out_ uint8_t *value, unsigned long size)',
  fgetxattr: 'long fgetxattr(int fd, const uint8_t *name, _Out_ uint8_t *value, unsigned long size)',
  lsetxattr:
    'int lsetxattr(const uint8_t *path, const uint8_t *name, const uint8_t *value, unsigned long size, int flags)',
  fsetxattr:
    'int fsetxattr(int fd, const uint8_t *name, const uint8_t *value, unsigned long size, int flags)',
  lremovexattr: 'int lremovexattr(const uint8_t *path, const uint8_t *name)',
  fremovexattr: 'int fremovexattr(int fd, const uint8_t *name)',
  mknodat: 'int mknodat(int dir, const uint8_t *path, unsigned int mode, uint64_t device)',
  syncfs: 'int syncfs(int fd)',
  lseek: 'int64_t lseek(int fd, int64_t offset, int whence)',
  ioctl: 'int ioctl(int fd, unsigned long request, int argument)',
  flock: 'int flock(int fd, int operation)',
  posix_fadvise: 'int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)',
  fallocate: 'int fallocate(int fd, int mode, int64_t offset, int64_t length)',
  sync_file_range: 'int sync_file_range(int fd, int64_t offset, int64_t length, unsigned int flags)',
  syscall: 'long syscall(long number, int dir, const uint8_t *path, const uint64_t *how, unsigned long size)',
  close: 'int close(int fd)',
  getsockopt: 'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint8_t *length)',
  setsockopt: 'int setsockopt(int fd, int level, int name, const uint8_t *value, unsigned int length)',
  mallopt: 'int mallopt(int parameter, int value)',
} as const

export type LibcName = keyof typeof DECLARATIONS

export const AT_FDCWD = -100

const require = createRequire(import.meta.url)
let koffi: Koffi | undefined
let library: ReturnType<Koffi['load']> | undefined
const calls = new Map<LibcName, LibcCall>()

/** @throws MirrorError `unsupported` when the call does not exist on this system */
export function libc(name: LibcName): LibcCall {
  let call = calls.get(name)
  if (call === undefined) {
    try {
      koffi ??= require('koffi') as Koffi
      // The process itself: Node links libc dynamically, so this finds glibc and musl alike.
      library ??= koffi.load(null)
      call = library.func(DECLARATIONS[name])
    } catch (error) {
      throw new MirrorError('unsupported', `libc's ${name} cannot be called on this system`, {
        hint: 'mirrormesh runs on Linux with glibc or musl; check that the package koffi is installed for this platform.',
        cause: error,
      })
    }
    calls.set(name, call)
  }
  return call
}

/** The number of the error of a call that has just returned -1 in this thread. */
export function lastErrno(): number {
  return koffi?.errno() ?? 0
}

/** Throws the error of a call that has just returned -1 in this thread. */
export function throwErrno(name: LibcName, path?: Uint8Array): never {
  throw errnoError(lastErrno(), name, path)
}

/** An error as Node's fs throws it. */
export function errnoError(errno: number, syscall: string, path?: Uint8Array): NodeJS.ErrnoException {
  const code = errno > 0 ? getSystemErrorName(-errno) : 'EIO'
  const where = path === undefined ? '' : ` '${printableName(path)}'`
  return Object.assign(new Error(`${code}: ${syscall}${where}`), {
    code,
    errno: -errno,
    syscall,
    ...(path === undefined ? {} : { path: printableName(path) }),
  })
}

/** The path with the NUL that C wants. */
export function cPath(path: Uint8Array): Uint8Array {
  if (path.includes(0)) throw new MirrorError('invalid', `a path holds NUL: ${printableName(path)}`)
  const bytes = new Uint8Array(path.length + 1)
  bytes.set(path)
  return bytes
}
