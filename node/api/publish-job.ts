/** The job behind `publish`: import, sign the head, and wait for other sites when asked to. */
import { MirrorError } from '../../src/base/errors.ts'
import { checkTreeName } from '../../src/dag/tree-name.ts'
import { DELTA_MODES, type DeltaMode } from '../../src/replica/delta-mode.ts'
import { checkIgnoreRules } from '../../src/tree/ignore-rules.ts'
import type { DryRunAnswer, PublishAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'
import { fieldOf, listOf, numberOf, optionalTextOf, textOf } from './query.ts'
import type { Services } from './services.ts'
import { checkSites, waitForSites } from './wait-for-sites.ts'

export function runPublishJob(services: Services, body: unknown) {
  const path = textOf(body, 'path')
  const tree = checkTreeName(textOf(body, 'tree'))
  const version = optionalTextOf(body, 'version')
  const notes = textsOf(body, 'notes')
  const allowEmpty = fieldOf(body, 'allowEmpty') === true
  const acceptShrink = fieldOf(body, 'acceptShrink') === true
  const inPlace = fieldOf(body, 'inPlace') === true
  const sites = listOf(body, 'wait')
  const timeoutMs = numberOf(body, 'timeoutMs')
  const ignore = rulesOf(body)
  const deltas = modeOf(body)
  const isDry = fieldOf(body, 'dryRun') === true
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

function textsOf(body: unknown, name: string): Record<string, string> {
  const value = fieldOf(body, name) ?? {}
  if (
    typeof value === 'object' &&
    !Array.isArray(value) &&
    Object.values(value).every((each) => typeof each === 'string')
  ) {
    return value as Record<string, string>
  }
  throw new MirrorError('invalid', `${name} must be an object of texts`)
}

function modeOf(body: unknown): DeltaMode | undefined {
  const value = fieldOf(body, 'deltas')
  if (value === undefined) return undefined
  const mode = DELTA_MODES.find((each) => each === value)
  if (mode !== undefined) return mode
  throw new MirrorError('invalid', `deltas is one of ${DELTA_MODES.join(', ')}`)
}

/** Absent: the rules of the newest snapshot. An empty list: none. */
function rulesOf(body: unknown): string[] | undefined {
  const rules = fieldOf(body, 'ignore')
  if (rules === undefined) return undefined
  if (!Array.isArray(rules) || !rules.every((rule) => typeof rule === 'string')) {
    throw new MirrorError('invalid', 'ignore must be a list of texts')
  }
  checkIgnoreRules(rules)
  return rules
}
