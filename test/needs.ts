/** What a test needs of the machine beside Node. */
import { execFileSync } from 'node:child_process'

/** A reason to skip, or false: with CI=true nothing is skipped, and what is missing fails. */
export function skipWithout(...programs: readonly string[]): string | false {
  const missing = [
    ...(process.getuid?.() === 0 ? [] : ['root']),
    ...programs.filter((name) => !hasProgram(name)),
  ]
  return missing.length > 0 && process.env.CI !== 'true' ? `needs ${missing.join(', ')}` : false
}

function hasProgram(name: string): boolean {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' })
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
}
