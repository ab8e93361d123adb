/**
 * Refuses to publish what has lost too much: a disk that was not mounted, a build that failed half-way and a glob that
 * matched nothing all look like a very small new version. Pure.
 */
import { MirrorError } from '../../base/errors.ts'

export interface ShrinkGuardOptions {
  /** Share of the files, or of their bytes, that a snapshot may lose against the one before; 1 and more lets all pass. */
  readonly maxShare: number
  /** A person said that it is meant. */
  readonly isAccepted: boolean
  /** A source without a single file is meant, too. */
  readonly isEmptyAccepted: boolean
  /** For the message. */
  readonly source: string
  readonly tree: string
}

/** Of a head; what an old one did not say is undefined. */
export interface Extent {
  readonly files: number | undefined
  readonly bytes: number | undefined
}

/** Below these, a share says nothing: a tree of three files loses a third when one goes. */
const FEWEST_FILES = 10
const FEWEST_BYTES = 1_000_000

/** @throws MirrorError `refused`, with what to say when it is meant */
export function checkShrink(
  before: Extent,
  after: { readonly files: number; readonly bytes: number },
  options: ShrinkGuardOptions,
): void {
  const refusal = findShrink(before, after, options)
  if (refusal !== undefined) throw refusal()
}

/**
 * What to throw when it has lost too much, with what is to happen to it in words; undefined when it has not.
 * @throws MirrorError `refused` for a source without a file: there is nothing that could wait for a yes
 */
export function findShrink(
  before: Extent,
  after: { readonly files: number; readonly bytes: number },
  options: ShrinkGuardOptions,
): ((waits?: string) => MirrorError) | undefined {
  const { maxShare, isAccepted, isEmptyAccepted, source, tree } = options
  const files = before.files ?? 0
  const bytes = before.bytes ?? 0
  if (after.files === 0 && files > 0) {
    if (isEmptyAccepted) return undefined
    throw new MirrorError('refused', `${source} holds no file, the newest snapshot has ${files}`, {
      facts: { tree },
      hint: 'Is it mounted? Say --allow-empty when it is meant.',
    })
  }
  if (isAccepted) return undefined
  const lost = [
    describeLoss('files', files, after.files, FEWEST_FILES, maxShare),
    describeLoss('bytes', bytes, after.bytes, FEWEST_BYTES, maxShare),
  ].filter((each) => each !== undefined)
  if (lost.length === 0) return undefined
  return (waits = '') =>
    new MirrorError(
      'refused',
      `${source} has lost ${lost.join(' and ')} since the newest snapshot of ${tree}`,
      {
        facts: { tree, filesBefore: files, files: after.files, bytesBefore: bytes, bytes: after.bytes },
        hint: `Nothing was published${waits}. Say --accept-shrink when it is meant; more than ${percent(maxShare)} (maxShrinkPercent in the config file) waits for a yes.`,
      },
    )
}

function describeLoss(
  what: string,
  before: number,
  after: number,
  fewest: number,
  maxShare: number,
): string | undefined {
  if (before < fewest || after >= before || (before - after) / before <= maxShare) return undefined
  return `${percent((before - after) / before)} of its ${before} ${what}`
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}
