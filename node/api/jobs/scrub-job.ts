/** The job behind `scrub`: reads every stored block, at a set rate, and compares it with its digest. */

import type { JobBody } from '../schema/job-schema.ts'
import type { Services } from '../services.ts'
import type { ScrubAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'

export function runScrubJob({ scrubber, clock }: Services, { bytesPerSecond: rate }: JobBody<'scrub'>) {
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
