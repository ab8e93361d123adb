/** What is mounted where, as this process sees it. Bind mounts count: no stat tells them from their surroundings. */
import fs from 'node:fs'

/** Mount points at `path` or below it, an absolute path without symbolic links. Empty where the system cannot tell. */
export function mountsWithin(path: Uint8Array): Buffer[] {
  let table: Buffer
  try {
    table = fs.readFileSync('/proc/self/mountinfo')
  } catch {
    return []
  }
  const within = Buffer.concat([path, Buffer.from('/')])
  return table
    .toString('latin1')
    .split('\n')
    .flatMap((line) => {
      const field = line.split(' ')[4]
      if (field === undefined) return []
      // Space, tab, newline and backslash are written as three octal digits.
      const text = field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
        String.fromCharCode(Number.parseInt(digits, 8)),
      )
      const point = Buffer.from(text, 'latin1')
      return point.equals(path) || point.subarray(0, within.length).equals(within) ? [point] : []
    })
}
