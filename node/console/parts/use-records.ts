/** Looks again when the mesh has said something of these kinds, or more than the stream tells one by one. */
import { useEffect } from 'preact/hooks'
import { onEvent } from '../live.ts'

export function useRecords(kinds: readonly string[], look: () => void): void {
  useEffect(() => {
    const ends = [
      onEvent<{ kind: string }>('record', ({ kind }) => {
        if (kinds.includes(kind)) look()
      }),
      onEvent('records', look),
    ]
    return () => {
      for (const end of ends) end()
    }
  }, [])
}
