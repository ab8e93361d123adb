/**
 * Requests that a client sends before the answers of those before (pipelining, RFC 9112 section 9.3.2) are answered one after the
 * other: begun all at once, those of one connection would take the room of a thousand clients, and keep what they have read for as
 * long as their client does not take it.
 *
 * Bounded: so many wait on a connection; one that sends more is closed, and may ask again.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** apt sends 10 in advance. */
export const MAX_WAITING_REQUESTS = 32

export interface Turns {
  /** Undefined: it is the first on its connection. Else resolves when it is, to false when the connection has ended. */
  wait(request: IncomingMessage, response: ServerResponse): Promise<boolean> | undefined
  /** What is said on its connection from now on is of this answer, until its end. */
  begin(request: IncomingMessage, response: ServerResponse): void
  end(request: IncomingMessage): void
  /** Whether a part of an answer was sent on the connection, and the rest is to come. */
  isAnswering(socket: object): boolean
}

export function createTurns(): Turns {
  const waiting = new WeakMap<Socket, Set<(isTurn: boolean) => void>>()
  const answering = new WeakMap<object, ServerResponse>()

  function waitersOf(socket: Socket): Set<(isTurn: boolean) => void> {
    const known = waiting.get(socket)
    if (known !== undefined) return known
    const waiters = new Set<(isTurn: boolean) => void>()
    waiting.set(socket, waiters)
    // Node tells the one answer that it has begun, and none of those that wait.
    socket.once('close', () => {
      for (const resolve of waiters) resolve(false)
    })
    return waiters
  }

  return {
    wait({ socket }, response) {
      if (response.socket === socket) return undefined
      const waiters = waitersOf(socket)
      if (waiters.size >= MAX_WAITING_REQUESTS) socket.destroy()
      if (socket.destroyed) return Promise.resolve(false)
      return new Promise((resolve) => {
        const settle = (isTurn: boolean): void => {
          waiters.delete(settle)
          resolve(isTurn)
        }
        waiters.add(settle)
        response.once('socket', () => settle(true))
      })
    },
    begin: ({ socket }, response) => void answering.set(socket, response),
    end: ({ socket }) => void answering.delete(socket),
    isAnswering: (socket) => answering.get(socket)?.headersSent === true,
  }
}
