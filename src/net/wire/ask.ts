/**
 * Messages of `/mirrormesh/1/ask`: one question, one answer, and the stream is over. What they say is the affair of the
 * layers above.
 *
 *   type  from    body
 *   0x01  client  QUESTION: 4 KiB at most
 *   0x02  server  ANSWER: 512 KiB at most
 *   0x05  server  REFUSED (as in join.ts): a reason for people
 */
import { KIB } from '../limits.ts'
import type { FrameLimits } from './frame.ts'
import { JOIN_TO_CLIENT, REFUSED } from './join.ts'

export const QUESTION = 0x01
export const ANSWER = 0x02

export const MAX_QUESTION_BYTES = 4 * KIB
export const MAX_ANSWER_BYTES = 512 * KIB

export const ASK_TO_SERVER: FrameLimits = { [QUESTION]: MAX_QUESTION_BYTES }
export const ASK_TO_CLIENT: FrameLimits = {
  [ANSWER]: MAX_ANSWER_BYTES,
  [REFUSED]: JOIN_TO_CLIENT[REFUSED]!,
}
