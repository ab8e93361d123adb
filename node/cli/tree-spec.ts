/** The argument form `TREE[@SEQUENCE][:/PATH]`. Names follow the rule of tree names; a tag may stand for a sequence. */
import { MirrorError } from '../../src/base/errors.ts'
import { isSegment, isTreeName } from '../../src/base/names.ts'

export interface TreeSpec {
  readonly tree: string
  /** A sequence in digits, or a tag; the newest head when absent. */
  readonly ref?: string
  /** Without its leading slash; empty for the root; absent when the argument names none. */
  readonly path?: string
}

const SPEC = /^([^@:]+)(?:@([^:]*))?(?::(.*))?$/s

export function parseTreeSpec(text: string): TreeSpec {
  const match = SPEC.exec(text)
  if (match === null || !isTreeName(match[1]) || (match[2] !== undefined && !isSegment(match[2]))) {
    throw new MirrorError('invalid', `not a tree: ${JSON.stringify(text)}`, {
      hint: 'It is NAME, NAME@SEQUENCE or NAME@SEQUENCE:/PATH; a name is 1 to 8 segments of a-z, 0-9, ".", "_" and "-", joined by "/".',
    })
  }
  const [, tree = '', ref, path] = match
  if (path?.split('/').some((name) => name === '..' || name === '.')) {
    throw new MirrorError('invalid', `a path within a tree has no "." or "..": ${JSON.stringify(path)}`)
  }
  return {
    tree,
    ...(ref === undefined ? {} : { ref }),
    ...(path === undefined ? {} : { path: path.split('/').filter(Boolean).join('/') }),
  }
}

/** @throws MirrorError `invalid` for anything beside a name */
export function nameOfTree(text: string): string {
  const { tree } = parseTreeSpec(text)
  if (tree !== text) throw new MirrorError('invalid', `the name of a tree alone, not ${text}`)
  return tree
}
