/** The job behind `wait`: ends when sites hold a snapshot that was published before. */
import { checkTreeName } from '../../../src/dag/tree-name.ts'
import { findHead, placeOf } from '../find-snapshot.ts'
import type { JobBody } from '../schema/job-schema.ts'
import type { Services } from '../services.ts'
import type { WaitAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'
import { checkSites, waitForSites } from './wait-for-sites.ts'

export function runWaitJob(services: Services, body: JobBody<'wait'>) {
  const tree = checkTreeName(body.tree)
  const { ref, sites, timeoutMs } = body
  return async ({ signal, report }: JobControl): Promise<WaitAnswer> => {
    const head = findHead(services, tree, ref)
    checkSites(services, tree, sites)
    const wanted = { tree, sequence: head.sequence, bytes: head.counts.bytes ?? 0, sites, timeoutMs }
    return { ...placeOf(head), ...(await waitForSites(services, wanted, { signal, report })) }
  }
}
