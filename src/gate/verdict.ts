/** What a gate says of a snapshot. */
export interface Verdict {
  /** Why the gate is closed; empty when it is open. MAX_REASONS at most, and then how many more there are. */
  readonly reasons: readonly string[]
  /** What could not be judged: a package list in a compression that cannot be read here. */
  readonly notes: readonly string[]
}

const MAX_REASONS = 10
const MAX_NOTES = 10

export interface VerdictBuilder {
  close(reason: string): void
  note(text: string): void
  finish(): Verdict
}

export function createVerdict(): VerdictBuilder {
  const reasons: string[] = []
  const notes: string[] = []
  let closings = 0
  return {
    close(reason) {
      closings += 1
      if (reasons.length < MAX_REASONS) reasons.push(reason)
    },
    note(text) {
      if (notes.length < MAX_NOTES) notes.push(text)
    },
    finish() {
      const more = closings - reasons.length
      return { reasons: more === 0 ? reasons : [...reasons, `and ${more} more`], notes }
    },
  }
}
