/** The node that shall publish: named by its site or its PeerId, or this one. */
import { MirrorError } from '../../src/base/errors.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import type { SelfDocument } from '../api/answers.ts'
import type { Context } from './context.ts'

/** @throws MirrorError `not-found` for a site that there is not */
export async function findPublisher(
  { api, signal }: Context,
  name: string | undefined,
): Promise<{ peer: string; site?: string }> {
  if (name === undefined) return api.get<SelfDocument>('/api/v1/self', signal)
  const { sites } = await api.get<StatusDocument>('/api/v1/status', signal)
  const found = sites.find((each) => each.site === name || each.peer === name)
  if (found !== undefined) return found
  if (name.startsWith('12D3KooW')) return { peer: name }
  throw new MirrorError('not-found', `there is no site ${name}`, {
    hint: `Sites are ${sites.map((each) => each.site).join(', ')}.`,
  })
}
