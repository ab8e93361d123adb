/**
 * Work that many ask for is done once: who asks while it is under way waits for the same. Ends when all who wait have
 * gone; one that goes leaves the others alone.
 */
import { MirrorError } from '../../base/errors.ts'

export interface SharedFlights<T> {
  /** @throws the signal's reason, or what the task throws */
  run(key: string, task: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T>
  readonly size: number
}

interface Flight<T> {
  readonly result: Promise<T>
  readonly abort: AbortController
  waiting: number
}

export function createSharedFlights<T>(): SharedFlights<T> {
  const flights = new Map<string, Flight<T>>()

  function take(key: string, task: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const known = flights.get(key)
    // One that was given up is still winding up: its answer would be an error that nobody meant for us.
    if (known !== undefined && !known.abort.signal.aborted) return known
    const abort = new AbortController()
    const flight: Flight<T> = { abort, waiting: 0, result: task(abort.signal) }
    flights.set(key, flight)
    const forget = (): void => {
      if (flights.get(key) === flight) flights.delete(key)
    }
    flight.result.then(forget, forget)
    return flight
  }

  return {
    get size() {
      return flights.size
    },
    async run(key, task, signal) {
      signal?.throwIfAborted()
      const flight = take(key, task)
      flight.waiting++
      const gone = Promise.withResolvers<never>()
      const onAbort = (): void => gone.reject(signal?.reason)
      signal?.addEventListener('abort', onAbort, { once: true })
      try {
        return await Promise.race([flight.result, gone.promise])
      } finally {
        signal?.removeEventListener('abort', onAbort)
        if (--flight.waiting === 0)
          flight.abort.abort(new MirrorError('aborted', 'nobody waits for it any more'))
      }
    },
  }
}
