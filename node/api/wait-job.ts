/** The job behind `wait`: ends when sites hold a snapshot that was published before. */
import { checkTreeName } from '../../src/dag/tree-name.ts'
import { findHead, placeOf } from './find-snapshot.ts'
import type { WaitAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'
import { listOf, numberOf, optionalTextOf, textOf } from './query.ts'
import type { Services } from './services.ts'
import { checkSites, waitForSites } from './wait-for-sites.ts'

export function runWaitJob(services: Services, body: unknown) {
  const tree = checkTreeName(textOf(body, 'tree'))
  const ref = optionalTextOf(body, 'ref') ?? 'head'
  const sites = listOf(body, 'sites') ?? ['all']
  const timeoutMs = numberOf(body, 'timeoutMs')
  return async ({ signal, report }: JobControl): Promise<WaitAnswer> => {
    const head = findHead(services, tree, ref)
    checkSites(services, tree, sites)
    const wanted = { tree, sequence: head.sequence, bytes: head.counts.bytes ?? 0, sites, timeoutMs }
    return { ...placeOf(head), ...(await waitForSites(services, wanted, { signal, report })) }
  }
}
