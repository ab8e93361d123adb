/** The newcomer's side of joining: to claim an invite, or to ask, of somebody who is not known as a member yet. */
import { abortable } from './abortable.ts'
import { hostPortToAddress } from './address.ts'
import type { FrameStream } from './frame-stream.ts'
import type { Gate } from './gate.ts'
import { claimInvite, JOIN_PROTOCOL } from './join-protocol.ts'
import { askToJoin, JOIN_REQUEST_PROTOCOL } from './join-request-protocol.ts'
import * as limits from './limits.ts'
import type { Peers } from './peers.ts'
import type { Host } from './ports.ts'
import type { FrameLimits } from './wire/frame.ts'
import { JOIN_TO_CLIENT } from './wire/join.ts'
import { JOIN_REQUEST_TO_CLIENT } from './wire/join-request.ts'

export function createJoining({
  gate,
  peers,
  self,
  open,
}: {
  readonly gate: Gate
  readonly peers: Peers
  readonly self: string
  readonly open: (
    peer: string,
    protocol: string,
    accept: FrameLimits,
    options: { readonly signal: AbortSignal | undefined; readonly answerTimeoutMs: number },
  ) => Promise<FrameStream>
}): Pick<Host, 'join' | 'askToJoin'> {
  return {
    async join({ peer, addresses, mesh: claimed, secret, invite }, signal) {
      const disallow = gate.allowOutbound(peer)
      try {
        await peers.dial(peer, addresses, signal, { asGuest: true })
        const frames = await open(peer, JOIN_PROTOCOL, JOIN_TO_CLIENT, {
          signal,
          answerTimeoutMs: limits.GUEST_TIMEOUT_MS,
        })
        return await abortable(frames, signal, () =>
          claimInvite(frames, { mesh: claimed, secret, invite }, peer),
        )
      } finally {
        disallow()
        await peers.disconnect(peer)
      }
    },
    async askToJoin({ address, question }, signal) {
      const disallow = gate.allowOutbound(undefined)
      let peer: string | undefined
      try {
        peer = await peers.dialAddress(hostPortToAddress(address), signal)
        const asked = peer
        const frames = await open(asked, JOIN_REQUEST_PROTOCOL, JOIN_REQUEST_TO_CLIENT, {
          signal,
          answerTimeoutMs: limits.GUEST_TIMEOUT_MS,
        })
        const answer = await abortable(frames, signal, () =>
          askToJoin(frames, question, { self, peer: asked }),
        )
        return { ...answer, peer }
      } finally {
        disallow()
        if (peer !== undefined) await peers.disconnect(peer)
      }
    },
  }
}
