/** The values of `--keep-last`, `--keep-days`, `--min-copies` and `--priority`. */
import { InvalidArgumentError } from 'commander'

/** As a pin's record has them. */
const MAX_LAST = 10_000
const MAX_DAYS = 36_500
const MAX_PRIORITY = 9
const MIN_COPIES = 2
const MAX_COPIES = 16

export const readKeepLast = wholeUpTo(MAX_LAST)
export const readKeepDays = wholeUpTo(MAX_DAYS)
export const readPriority = wholeUpTo(MAX_PRIORITY)
export const readCopies = wholeUpTo(MAX_COPIES, MIN_COPIES)

function wholeUpTo(most: number, least = 1): (text: string) => number {
  return (text) => {
    const value = /^[1-9]\d{0,5}$/.test(text) ? Number(text) : 0
    if (value >= least && value <= most) return value
    throw new InvalidArgumentError(`It is a number from ${least} to ${most}.`)
  }
}
