/** The values of `--path` and `--exclude-path`, which may be repeated: a folder may be written with a slash behind it. */
import { InvalidArgumentError } from 'commander'
import { isFilterPath } from '../../src/base/path-filter.ts'

export function readFilterPath(text: string, before: string[] = []): string[] {
  const path = text.replace(/\/+$/, '')
  if (isFilterPath(path)) return [...before, path]
  throw new InvalidArgumentError('It is a path below the root of the tree, such as x86_64/ or EFI/BOOT.')
}
