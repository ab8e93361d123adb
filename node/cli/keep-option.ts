/** The values of `--keep-last`, `--keep-days` and `--priority`. */
import { InvalidArgumentError } from 'commander'

/** As a pin's record has them. */
const MAX_LAST = 10_000
const MAX_DAYS = 36_500
const MAX_PRIORITY = 9

export const readKeepLast = wholeUpTo(MAX_LAST)
export const readKeepDays = wholeUpTo(MAX_DAYS)
export const readPriority = wholeUpTo(MAX_PRIORITY)

function wholeUpTo(most: number): (text: string) => number {
  return (text) => {
    const value = /^[1-9]\d{0,5}$/.test(text) ? Number(text) : 0
    if (value >= 1 && value <= most) return value
    throw new InvalidArgumentError(`It is a number from 1 to ${most}.`)
  }
}
