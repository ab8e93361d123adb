/** The job behind `tree drop`: a new head without some versions, signed by the publisher's node. */
import { checkTreeName } from '../../../src/dag/tree-name.ts'
import type { JobBody } from '../schema/job-schema.ts'
import type { Services } from '../services.ts'
import type { DropVersionsAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'

export function runDropVersionsJob(services: Services, body: JobBody<'drop-versions'>) {
  const tree = checkTreeName(body.tree)
  const { versions } = body
  return async ({ signal }: JobControl): Promise<DropVersionsAnswer> => {
    const {
      snapshot,
      isNew: _isNew,
      ...place
    } = await services.publisher.dropVersions({ tree, versions, signal })
    return { ...place, snapshot: snapshot.toString(), dropped: versions }
  }
}
