/**
 * Ignore rules in gitignore syntax, one rule an item: they apply to paths below the root of the tree. Names are bytes
 * and so are rules: both are read as latin1, so that the bytes of a rule match the same bytes of a name, whatever their
 * encoding (`?` is one byte, as in git). Upper and lower case differ.
 */
import ignore from 'ignore'
import { MirrorError } from '../base/errors.ts'
import { isIgnoreRule } from '../dag/ignore-rule.ts'
import { MAX_IGNORE_BYTES, MAX_IGNORE_RULES } from '../dag/limits.ts'

/** The matcher keeps every path it is asked for: it is made anew before that weighs on memory. */
const PATHS_PER_MATCHER = 4096

export interface IgnoreRules {
  /**
   * Whether the entry is left out. Whoever walks must not enter a directory that is, so that nothing is asked about
   * what lies below it.
   * @param below path below the root, not empty
   */
  excludes(below: Buffer, isDirectory: boolean): boolean
}

/**
 * `**` for folders between others: each multiplies what a match may cost by the depth of the path, and a snapshot's rules are its
 * publisher's. Three took minutes for one path of 500 folders; what ends in `/**` costs nothing.
 */
const MAX_ANY_DEPTHS = 2

/** Undefined without rules. @throws MirrorError `invalid` for one that could take for ever */
export function createIgnoreRules(rules: readonly string[]): IgnoreRules | undefined {
  if (rules.length === 0) return undefined
  rules.forEach(checkCost)
  const patterns = rules.map((rule) => ({ pattern: Buffer.from(rule).toString('latin1') }))
  const make = () => ignore({ ignoreCase: false }).add(patterns)
  let matcher = make()
  let asked = 0
  return {
    excludes(below, isDirectory) {
      if (++asked % PATHS_PER_MATCHER === 0) matcher = make()
      const path = below.toString('latin1')
      return matcher.ignores(isDirectory ? `${path}/` : path)
    },
  }
}

/** @throws MirrorError `invalid` when there are too many, or one is no rule */
export function checkIgnoreRules(rules: readonly string[]): void {
  if (rules.length > MAX_IGNORE_RULES) {
    throw new MirrorError('invalid', `${rules.length} ignore rules are more than ${MAX_IGNORE_RULES}`)
  }
  const bytes = rules.reduce((sum, rule) => sum + Buffer.byteLength(rule), 0)
  if (bytes > MAX_IGNORE_BYTES) {
    throw new MirrorError('invalid', `the ignore rules have ${bytes} bytes, over ${MAX_IGNORE_BYTES}`)
  }
  for (const rule of rules) {
    if (isIgnoreRule(rule)) {
      checkCost(rule)
      continue
    }
    throw new MirrorError('invalid', `not an ignore rule: ${JSON.stringify(rule.slice(0, 100))}`, {
      hint: 'One pattern in the syntax of gitignore, such as *.tmp, /cache/ or !keep.tmp.',
    })
  }
}

function checkCost(rule: string): void {
  const names = rule.replace(/^!/, '').replace(/\/+$/, '').split('/')
  const anyDepths = names.slice(0, -1).filter((name) => /^\*{2,}$/.test(name))
  if (anyDepths.length <= MAX_ANY_DEPTHS) return
  throw new MirrorError(
    'invalid',
    `an ignore rule has ** more than twice before its last name: ${JSON.stringify(rule.slice(0, 100))}`,
    {
      hint: 'Write it with fewer, or as several rules. Rules of a snapshot are replaced with --exclude or --no-exclude.',
    },
  )
}
