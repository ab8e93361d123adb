/** The job behind `tree drop`: a new head without some versions, signed by the publisher's node. */
import { MirrorError } from '../../src/base/errors.ts'
import { checkTreeName } from '../../src/dag/tree-name.ts'
import type { DropVersionsAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'
import { listOf, textOf } from './query.ts'
import type { Services } from './services.ts'

export function runDropVersionsJob(services: Services, body: unknown) {
  const tree = checkTreeName(textOf(body, 'tree'))
  const versions = listOf(body, 'versions') ?? []
  if (versions.length === 0) throw new MirrorError('invalid', 'versions must name what is to go')
  return async ({ signal }: JobControl): Promise<DropVersionsAnswer> => {
    const {
      snapshot,
      isNew: _isNew,
      ...place
    } = await services.publisher.dropVersions({ tree, versions, signal })
    return { ...place, snapshot: snapshot.toString(), dropped: versions }
  }
}
