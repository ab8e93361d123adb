/** The next version of a grant, as the node knows it now. */
import type { GrantDocument } from '../../api/routes/grant-routes.ts'
import { getJson } from '../api.ts'
import type { Chain } from '../signing/record.ts'

/** Its version, and from where on it decides about what the key signs. */
export async function nextOf({
  peer,
  role,
  name,
}: Pick<GrantDocument, 'peer' | 'role' | 'name'>): Promise<{ version: number; chain: Chain }> {
  const [{ grants }, chain] = await Promise.all([
    getJson<{ grants: GrantDocument[] }>('/api/v1/grants'),
    // From now on: what the key signed before, in vain perhaps, is not to count by this.
    getJson<Chain>(`/api/v1/chain/${peer}`),
  ])
  const before = grants.find((each) => each.peer === peer && each.role === role && each.name === name)
  return { version: (before?.version ?? 0) + 1, chain }
}
