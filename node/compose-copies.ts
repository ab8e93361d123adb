/** What a node knows of other sites' copies: it has them shown, and says in its status how many there are. */
import { randomBytes } from 'node:crypto'
import {
  type CopyChallenger,
  type CopyChallengerComponents,
  createCopyChallenger,
} from '../src/replica/copies/copy-challenger.ts'
import { type CopyWatch, createCopyWatch } from '../src/replica/copies/copy-watch.ts'
import type { Config } from './config.ts'

export function composeCopies(
  components: Omit<CopyChallengerComponents, 'randomBytes'>,
  { copiesAlarmMinutes }: Pick<Config, 'copiesAlarmMinutes'>,
): CopyChallenger & CopyWatch {
  const challenger = createCopyChallenger({ ...components, randomBytes })
  const watch = createCopyWatch(
    { challenger, clock: components.clock },
    { graceMs: copiesAlarmMinutes * 60_000 },
  )
  return { ...challenger, ...watch }
}
