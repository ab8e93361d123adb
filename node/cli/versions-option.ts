/** The value of `--versions`, where it can be given. */
import { InvalidArgumentError } from 'commander'

/** As a pin's record has it. */
const MAX_VERSIONS = 100

export function readVersions(text: string): number {
  const versions = /^[0-9]{1,4}$/.test(text) ? Number(text) : 0
  if (versions >= 1 && versions <= MAX_VERSIONS) return versions
  throw new InvalidArgumentError(`How many versions stay is a number from 1 to ${MAX_VERSIONS}.`)
}
