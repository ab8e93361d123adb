/**
 * Names of trees: 1 to 8 segments of `[a-z0-9][a-z0-9._-]{0,63}` joined with `/`. They are safe as a URL's path, a
 * folder's name and a key, so nothing ever escapes them.
 */
import { printableName, utf8 } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'

const SEGMENT = /^[a-z0-9][a-z0-9._-]{0,63}$/
const MAX_SEGMENTS = 8

/** @throws MirrorError `invalid` */
export function checkTreeName(text: string): string {
  const segments = text.length > MAX_SEGMENTS * 65 ? [] : text.split('/')
  if (
    segments.length < 1 ||
    segments.length > MAX_SEGMENTS ||
    !segments.every((segment) => SEGMENT.test(segment))
  ) {
    throw new MirrorError('invalid', `not a tree's name: "${printableName(utf8(text.slice(0, 200)))}"`, {
      hint: 'A name is 1 to 8 segments joined with "/", each of a-z, 0-9, ".", "_", "-", starting with a letter or digit, 64 characters at most.',
    })
  }
  return text
}
