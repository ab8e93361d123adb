/** The job behind `publish`: import, sign the head, and wait for other sites when asked to. */
import { MirrorError } from '../../../src/base/errors.ts'
import { checkTreeName } from '../../../src/dag/tree-name.ts'
import { checkIgnoreRules } from '../../../src/tree/ignore-rules.ts'
import type { JobBody } from '../schema/job-schema.ts'
import type { Services } from '../services.ts'
import type { DryRunAnswer, PublishAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'
import { checkSites, waitForSites } from './wait-for-sites.ts'

export function runPublishJob(services: Services, body: JobBody<'publish'>) {
  const { path, version, notes, allowEmpty, acceptShrink, inPlace, timeoutMs, ignore, deltas } = body
  const { wait: sites, dryRun: isDry } = body
  const tree = checkTreeName(body.tree)
  if (ignore !== undefined) checkIgnoreRules(ignore)
  if (isDry && sites !== undefined) {
    throw new MirrorError('invalid', 'a dry run publishes nothing that could be waited for')
  }
  return async ({ signal, report }: JobControl): Promise<PublishAnswer | DryRunAnswer> => {
    if (sites !== undefined) checkSites(services, tree, sites)
    const published = await services.publisher.publish({
      path,
      tree,
      notes,
      allowEmpty,
      acceptShrink,
      inPlace,
      isDry,
      ...(version === undefined ? {} : { version }),
      ...(ignore === undefined ? {} : { ignore }),
      ...(services.workers === undefined ? {} : { workers: services.workers }),
      deltas: deltas ?? services.deltas,
      signal,
      onProgress: report,
      onDeltas: (progress) => report({ phase: 'deltas', ...progress }),
    })
    const {
      directories: _directories,
      symlinks: _symlinks,
      specials: _specials,
      snapshot,
      ...counts
    } = published
    if (isDry) return { ...counts, isDryRun: true }
    const answer = { ...counts, snapshot: snapshot.toString() }
    if (sites === undefined) return answer
    const wanted = { tree, sequence: published.sequence, bytes: published.bytes, sites, timeoutMs }
    return { ...answer, waited: await waitForSites(services, wanted, { signal, report }) }
  }
}
