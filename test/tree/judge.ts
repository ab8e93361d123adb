/** Judges of a check-out that share no code with it: rsync, and a manifest of what rsync does not look at. */
import { execFileSync } from 'node:child_process'
import { describeTree } from './trees.ts'

/** Programs that the judge needs and that are not here. */
export function missingPrograms(): string[] {
  return ['rsync', 'setfacl', 'setcap'].filter((program) => {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`], {
        env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
      })
      return false
    } catch {
      return true
    }
  })
}

/** What rsync would change to make `checkout` equal to `source`: nothing, when they are. */
export function rsyncChanges(source: string, checkout: string): string {
  return execFileSync(
    'rsync',
    ['-aHAXSni', '--checksum', '--delete', '--modify-window=-1', `${source}/`, `${checkout}/`],
    { encoding: 'latin1' },
  )
}

/** Lines that are in one manifest and not in the other. */
export function manifestDifferences(source: string, checkout: string): string[] {
  const [a, b] = [new Set(describeTree(source)), new Set(describeTree(checkout))]
  return [
    ...[...a].filter((line) => !b.has(line)).map((line) => `- ${line}`),
    ...[...b].filter((line) => !a.has(line)).map((line) => `+ ${line}`),
  ]
}
