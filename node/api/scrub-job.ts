/** The job behind `scrub`: reads every stored block, at a set rate, and compares it with its digest. */
import { MirrorError } from '../../src/base/errors.ts'
import type { ScrubAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'
import { fieldOf } from './query.ts'
import type { Services } from './services.ts'

export function runScrubJob({ scrubber, clock }: Services, body: unknown) {
  const rate = fieldOf(body, 'bytesPerSecond')
  if (rate !== undefined && (typeof rate !== 'number' || !(rate >= 1000))) {
    throw new MirrorError('invalid', 'bytesPerSecond is a number, 1000 or more')
  }
  return async ({ signal, report }: JobControl): Promise<ScrubAnswer> => {
    const startedMs = clock.monotonicMs()
    const done = await scrubber.run({
      ...(rate === undefined ? {} : { bytesPerSecond: rate }),
      signal,
      onProgress: ({ doneBytes, totalBytes }) => report({ phase: 'read', bytes: doneBytes, totalBytes }),
    })
    return { ...done, seconds: (clock.monotonicMs() - startedMs) / 1000 }
  }
}
