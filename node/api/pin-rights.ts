/**
 * A pin of a private tree to a site that may not read it is refused here, at the door, where somebody can be told why. One
 * that comes from another node counts, and its site says "no right" in its status.
 */
import { MirrorError } from '../../src/base/errors.ts'
import { type PinBody, pinCovers } from '../../src/record/kinds/pin.ts'
import { isMemberAt, type MeshState, mayRead, placeOf } from '../../src/record/mesh-state.ts'

const MAX_NAMED = 10

/** @throws MirrorError `refused`, naming the sites. Patterns may cover what not every site reads: those that may, do. */
export function checkPinRights(state: MeshState, pin: PinBody, nowMs: number): void {
  const tree = state.trees.get(pin.tree)
  if (pin.removed || tree === undefined || tree.body.readers === 'members') return
  const sites = [...state.members.values()]
    .filter(
      (member) =>
        isMemberAt(state, member.peer, nowMs) &&
        pinCovers(pin, tree.name, placeOf(state, member)) &&
        !mayRead(state, tree.name, member.peer, nowMs),
    )
    .map(({ site }) => site)
    .toSorted()
  const [first] = sites
  if (first === undefined) return
  const more = sites.length > MAX_NAMED ? ` and ${sites.length - MAX_NAMED} more` : ''
  throw new MirrorError(
    'refused',
    `${tree.name} is private, and the pin covers sites that may not read it: ${sites.slice(0, MAX_NAMED).join(', ')}${more}`,
    {
      facts: { tree: tree.name, site: first },
      hint: `Let them read it: mirrormesh grant add ${first} --role reader --tree ${tree.name}. Or pin it to its readers only.`,
    },
  )
}
