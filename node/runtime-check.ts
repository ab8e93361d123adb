/**
 * The one sentence that an old Node gets. Compiled as it stands, this file and main.ts must still parse there, so
 * they use no syntax and import nothing that is newer than ES2017.
 */
export const OLDEST_NODE = 24

/** What is wrong with this runtime, or undefined when it will do. `version` is process.versions.node. */
export function runtimeProblem(version: string): string | undefined {
  const major = Number.parseInt(version, 10)
  if (major >= OLDEST_NODE) return undefined
  return (
    `mirrormesh needs Node.js ${OLDEST_NODE} or newer, and this is ${version} (${process.execPath}): ` +
    'install a newer one, or start it with scripts/mirrormesh of a checkout, which brings its own along.'
  )
}
