/** What is said before a pin is made: what it waits for, how many sites it covers, which pin it takes the place of. */
import type { PinSites } from '../../src/record/kinds/pin.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import type { PinDocument } from '../api/answers.ts'
import { describeFilter } from '../left-out.ts'
import type { Context } from './context.ts'

export function covers(
  where: PinDocument['sites'],
  { site, region, labels }: Pick<StatusDocument['sites'][number], 'labels' | 'region' | 'site'>,
): boolean {
  return (
    where.all === true ||
    where.region === region ||
    where.site === site ||
    (where.label !== undefined && labels.includes(where.label))
  )
}

/** A pin may come before its tree or its site; a misspelt one would wait for ever. */
export function sayWhenUnknown(
  { terminal }: Context,
  status: StatusDocument,
  tree: string,
  sites: PinSites,
): void {
  if (!tree.includes('*') && !status.trees.some((each) => each.tree === tree)) {
    terminal.say(`mirrormesh: note: there is no tree ${tree} yet; the pin waits for it.`)
  }
  if ('site' in sites && !status.sites.some((each) => each.site === sites.site)) {
    terminal.say(`mirrormesh: note: there is no site ${sites.site} yet; the pin waits for it.`)
  }
  if ('label' in sites && !status.sites.some(({ labels }) => labels.includes(sites.label))) {
    terminal.say(`mirrormesh: note: no site is labelled ${sites.label} yet; the pin waits for one.`)
  }
  if ('region' in sites && !status.sites.some((each) => each.region === sites.region)) {
    terminal.say(`mirrormesh: note: there is no site in region ${sites.region} yet; the pin waits for one.`)
  }
}

/** Other pins may bring the rest; more than there are sites cannot be. */
export function sayWhenTooFew(
  { terminal }: Context,
  status: StatusDocument,
  sites: PinSites,
  copies: number | undefined,
): void {
  const covered = status.sites.filter((site) => covers(sites, site)).length
  if (copies === undefined || covered >= copies) return
  terminal.say(
    `mirrormesh: note: the pin covers ${covered === 1 ? '1 site' : `${covered} sites`}, and wants ${copies} copies: the rest has to come from others.`,
  )
}

type Said = Partial<
  Pick<PinDocument, 'checkout' | 'class' | 'copies' | 'keep' | 'paths' | 'priority' | 'versions'>
>

/** One pin of a tree for the same sites: a change says all that it is to be, and what it does not say is gone. */
export async function sayWhenReplaced(
  { api, signal, terminal }: Context,
  tree: string,
  sites: PinSites,
  settings: Said,
): Promise<void> {
  const { pinName } = await import('../../src/record/kinds/pin.ts')
  const { pins } = await api.get<{ pins: PinDocument[] }>('/api/v1/pins', signal)
  const name = pinName(tree, sites)
  const before = pins.find((pin) => pin.name === name)
  if (before === undefined || describe(before) === describe(settings)) return
  terminal.say(
    `mirrormesh: note: this takes the place of the pin that was there (${describe(before)}).${
      before.checkout === null || before.checkout === settings.checkout
        ? ''
        : ` What lies at ${before.checkout} stays as it is.`
    }`,
  )
}

function describe({ checkout, versions, keep, copies, priority, class: kind, paths }: Said): string {
  return (
    [
      ...(checkout == null ? [] : [`check-out ${checkout}`]),
      ...(versions === undefined ? [] : [`${versions} versions`]),
      ...(keep === undefined ? [] : [`keeps ${keepText(keep)}`]),
      ...(copies === undefined ? [] : [`${copies} copies at least`]),
      ...(priority === undefined ? [] : [`priority ${priority}`]),
      ...(kind === undefined ? [] : [kind]),
      ...(paths === undefined ? [] : [describeFilter([paths])]),
    ].join('; ') || 'all of it, with no check-out'
  )
}

export function keepText(keep: PinDocument['keep']): string {
  const parts = [
    ...(keep?.last === undefined ? [] : [`last ${keep.last}`]),
    ...(keep?.days === undefined ? [] : [`${keep.days} days`]),
  ]
  return parts.join(', ') || '-'
}
