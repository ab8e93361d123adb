import { printableName, utf8 } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import { isTreeName } from '../base/names.ts'

/** The name of a tree, as it stands in a snapshot or an address. @throws MirrorError `invalid` */
export function checkTreeName(text: string): string {
  const name: unknown = text
  if (isTreeName(name)) return name
  throw new MirrorError('invalid', `not a tree's name: "${printableName(utf8(text.slice(0, 200)))}"`, {
    hint: 'A name is 1 to 8 segments joined with "/", each of a-z, 0-9, ".", "_", "-", starting with a letter or digit, 64 characters at most.',
  })
}
