/** `publish --key`: the publish of a machine that runs no node (publish-through.ts), told and waited for as any other. */
import { MirrorError } from '../../src/base/errors.ts'
import type { WaitAnswer } from '../api/jobs/job-answers.ts'
import type { Context } from './context.ts'
import { EXIT } from './exit-codes.ts'
import { runJob } from './job.ts'
import { createProgress } from './progress.ts'
import { publishThrough } from './publish-through.ts'
import { countOf, formatBytes, formatSeconds } from './quantity.ts'
import { loadOwnKey } from './sign.ts'

export interface KeyedPublish {
  readonly key: string
  readonly tree: string
  readonly source: string
  readonly notes: Readonly<Record<string, string>>
  readonly ignore: readonly string[] | undefined
  readonly wait?: string
  readonly timeoutMs: number | undefined
  readonly allowEmpty?: boolean
  readonly acceptShrink?: boolean
  readonly json?: boolean
  readonly as?: string
  readonly inPlace?: boolean
  readonly deltas?: string
  readonly dryRun?: boolean
}

export async function publishWithKey(context: Context, options: KeyedPublish): Promise<void> {
  const { api, clock, signal, terminal } = context
  const { tree, source, notes, ignore } = options
  for (const [name, value] of Object.entries({
    '--as': options.as,
    '--in-place': options.inPlace,
    '--deltas': options.deltas,
    '--dry-run': options.dryRun,
  })) {
    if (value !== undefined)
      throw new MirrorError('invalid', `${name} is for a publish by the node itself, not for one by --key`)
  }
  const key = await loadOwnKey(context, options.key, "a publisher's key")
  const progress = createProgress(context, { title: `publish ${tree}` })
  const done = await publishThrough(
    { api, clock },
    {
      ...{ path: source, tree, key, notes, ignore, signal },
      allowEmpty: options.allowEmpty === true,
      acceptShrink: options.acceptShrink === true,
      onProgress: (now) => progress.update(now),
    },
  ).finally(() => progress.end())
  const waited =
    options.wait === undefined
      ? undefined
      : await runJob<WaitAnswer>(
          context,
          {
            kind: 'wait',
            tree,
            ref: String(done.sequence),
            sites: options.wait.split(','),
            ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
          },
          `wait for ${tree}@${done.sequence}`,
        )
  if (options.json === true) {
    await terminal.print(
      `${JSON.stringify({ ...done, ...(waited === undefined ? {} : { waited }) }, null, 2)}\n`,
    )
  } else {
    await terminal.print(
      `${tree}@${done.sequence}  ${done.snapshot}${done.isNew ? '' : '  (unchanged)'}\n` +
        `${countOf(done.files, 'file')}, ${formatBytes(done.bytes)}, ${countOf(done.blocks, 'block')}; ` +
        `sent: ${formatBytes(done.sentBytes)}; ${formatSeconds(done.seconds)}\n` +
        (waited === undefined
          ? ''
          : `complete at ${waited.sites.join(', ')} after ${formatSeconds(waited.seconds)}\n`),
    )
  }
  for (const note of done.unjudged) terminal.say(`mirrormesh: the gate did not judge all: ${note}`)
  if (done.uncaptured.count === 0) return
  terminal.say(
    `mirrormesh: ${countOf(done.uncaptured.count, 'entry', 'entries')} of ${source} could not be captured in full:`,
  )
  for (const { path, reason } of done.uncaptured.first.slice(0, 10)) terminal.say(`  ${path}: ${reason}`)
  context.exitWith(EXIT.partial)
}
