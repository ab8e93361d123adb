/** What the status document says of what is held back: of each tree, in its publisher's words alone. */
import type { Alarm, HeldBackStatus, StatusSources, TreeFacts, TreeStatus } from './status.ts'

export const HELD_BACK = 'held-back'

type Sources = Pick<StatusSources, 'heard' | 'heldBackOf' | 'members' | 'self'>

export function heldBackStatus(
  { self, members, heard, heldBackOf }: Sources,
  { tree, publisher, head }: TreeFacts,
): HeldBackStatus | undefined {
  const site = members.find(({ peer }) => peer === publisher)?.site
  if (publisher === undefined || site === undefined) return undefined
  const said =
    publisher === self.peer
      ? heldBackOf?.(tree)
      : heard.get(publisher)?.announcement.trees.find((each) => each.tree === tree)?.heldBack
  // It may have published since it was heard of.
  if (said === undefined || (head !== undefined && head.sequence > said.sequence)) return undefined
  const { tree: _, snapshot, previous, ...rest } = said
  return { site, ...rest, snapshot: snapshot.toString(), previous: previous.toString() }
}

export function heldBackAlarms(trees: readonly TreeStatus[]): Alarm[] {
  return trees.flatMap(({ tree, heldBack }) =>
    heldBack === undefined
      ? []
      : [{ kind: HELD_BACK, subject: tree, detail: `${describeHeldBack(heldBack)}: it waits for an admin` }],
  )
}

/** 20 of 40 files and 3,000 of 9,000 bytes are gone since @3, at hq. */
export function describeHeldBack(held: HeldBackStatus): string {
  const { site, sequence, files, bytes, filesBefore, bytesBefore, problem } = held
  const gone = [lossOf(files, filesBefore, 'files'), lossOf(bytes, bytesBefore, 'bytes')].filter(
    (each) => each !== undefined,
  )
  const what = gone.length === 0 ? 'much is gone' : `${gone.join(' and ')} are gone`
  return `${what} since @${sequence}, at ${site}${problem === undefined ? '' : ` (accepted, and not published: ${problem})`}`
}

function lossOf(after: number, before: number | null, what: string): string | undefined {
  if (before === null || after >= before) return undefined
  return `${(before - after).toLocaleString('en-US')} of ${before.toLocaleString('en-US')} ${what}`
}
