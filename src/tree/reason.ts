/** Why something is not in a snapshot or not on a disk, in the words that a report shows. */

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'vanished while it was read',
  ENOTDIR: 'vanished while it was read',
  ELOOP: 'was replaced by a symbolic link while it was read',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EFBIG: 'it has more holes than can be captured',
  ENAMETOOLONG: 'its path is longer than the system takes',
}

/** Of this process or of its own disk: they say nothing about the file at hand, and must never leave it out. */
const OWN_TROUBLE = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOSPC', 'EDQUOT'])

/** @param error as the operating system throws it; a defect, or what is not the file's own trouble, flies on */
export function reasonOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  if (typeof code !== 'string' || !/^E[A-Z0-9]+$/.test(code) || OWN_TROUBLE.has(code)) throw error
  return reasonOfErrno(code)
}

export function reasonOfErrno(code: string): string {
  const reason = REASONS[code]
  return reason === undefined ? code : `${reason} (${code})`
}
