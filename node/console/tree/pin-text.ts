/** Pins in words, and as the command line has them. */
import type { PinDocument } from '../../api/answers.ts'
import { quoted, shown } from '../text.ts'

export function whereText(sites: PinDocument['sites']): string {
  if (sites.all === true) return 'every site'
  if (sites.label !== undefined) return `sites labelled ${shown(sites.label)}`
  return sites.region === undefined ? shown(sites.site ?? '') : `every site of ${shown(sites.region)}`
}

/** As `pin add` and `pin remove` have it. */
export function whereFlag(sites: PinDocument['sites']): string {
  if (sites.all === true) return '--all'
  if (sites.label !== undefined) return `--label ${quoted(sites.label)}`
  return sites.region === undefined
    ? `--site ${quoted(sites.site ?? '')}`
    : `--region ${quoted(sites.region)}`
}

export function keepText(keep: PinDocument['keep']): string {
  if (keep === undefined) return "as the sites' settings say"
  const parts = [
    ...(keep.last === undefined ? [] : [`the newest ${keep.last}`]),
    ...(keep.days === undefined ? [] : [`${keep.days} days`]),
  ]
  return parts.join(' and ')
}

/** Which part of the trees, how urgent: all that a pin may say beside its place. */
export function partText({ paths }: PinDocument): string {
  if (paths === undefined) return 'all of it'
  const not = paths.exclude.length === 0 ? '' : ` but not ${paths.exclude.map(shown).join(', ')}`
  return `${paths.include.length === 0 ? 'all' : paths.include.map(shown).join(', ')}${not}`
}

/** Verified ones, where the pin names a minimum; of several trees the one that has the fewest. */
export function copiesText({ tree, copies, fewest }: PinDocument): string {
  if (copies === undefined) return '-'
  const which = fewest === undefined || fewest.tree === tree ? '' : ` (${shown(fewest.tree)})`
  return `${fewest?.verified ?? 0} of ${copies} verified${which}`
}

export function describePin(pin: PinDocument): string {
  const parts = [
    pin.checkout === null ? 'no check-out' : `check-out at ${shown(pin.checkout)}`,
    `keeps ${keepText(pin.keep)}`,
    partText(pin),
    ...(pin.copies === undefined ? [] : [`${pin.copies} copies at least`]),
    pin.class ?? `priority ${pin.priority ?? 5}`,
  ]
  return parts.join(', ')
}
