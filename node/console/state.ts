/** A value that parts of the page follow. Listeners are told after a change, never while one is made. */
import { useEffect, useState } from 'preact/hooks'

export interface State<T> {
  get(): T
  set(value: T): void
  update(change: (value: T) => T): void
  subscribe(listener: () => void): () => void
}

export function createState<T>(first: T): State<T> {
  let value = first
  const listeners = new Set<() => void>()
  const set = (next: T): void => {
    if (Object.is(next, value)) return
    value = next
    for (const listener of [...listeners]) listener()
  }
  return {
    get: () => value,
    set,
    update: (change) => set(change(value)),
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/** The value, and a new rendering whenever it is another one. */
export function useValue<T>(state: State<T>): T {
  const [value, setValue] = useState(() => ({ of: state.get() }))
  useEffect(() => {
    const look = (): void => setValue((old) => (Object.is(old.of, state.get()) ? old : { of: state.get() }))
    look()
    return state.subscribe(look)
  }, [state])
  return value.of
}
