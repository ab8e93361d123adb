/** The job behind `tree rollback`: a new head with the snapshot of an old one, signed by the publisher's node. */
import { MirrorError } from '../../../src/base/errors.ts'
import { checkTreeName } from '../../../src/dag/tree-name.ts'
import { findHead } from '../find-snapshot.ts'
import type { JobBody } from '../schema/job-schema.ts'
import type { Services } from '../services.ts'
import type { RollBackAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'

export function runRollBackJob(services: Services, body: JobBody<'roll-back'>) {
  const tree = checkTreeName(body.tree)
  const { ref } = body
  if (ref === 'head') throw new MirrorError('invalid', 'roll back to a sequence or a tag, not to head')
  return async ({ signal }: JobControl): Promise<RollBackAnswer> => {
    const { sequence } = findHead(services, tree, ref)
    const { snapshot, ...place } = await services.publisher.rollBack({ tree, sequence, signal })
    return { ...place, snapshot: snapshot.toString(), ofSequence: sequence }
  }
}
