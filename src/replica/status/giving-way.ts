/** Which of the peers in a status document's traffic this node makes room for other traffic to. */
import type { PathState } from '../../net/path-pacer.ts'
import type { StatusDocument } from './status.ts'

export function withGivingWay(status: StatusDocument, paths: readonly PathState[]): StatusDocument {
  const yielding = new Set(paths.filter(({ isYielding }) => isYielding).map(({ peer }) => peer))
  if (yielding.size === 0) return status
  const { traffic } = status
  // Without the figures: a status that changes with each look would be told again and again.
  const peers = traffic.peers.map((each) => (yielding.has(each.peer) ? { ...each, givesWay: true } : each))
  return { ...status, traffic: { ...traffic, peers } }
}
